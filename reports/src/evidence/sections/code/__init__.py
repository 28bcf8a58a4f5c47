"""How much code is it?"""
