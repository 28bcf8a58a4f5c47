"""How long does a developer wait?"""
