"""How fast are the ops?"""
