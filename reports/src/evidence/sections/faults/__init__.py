"""Where are mistakes caught?"""
