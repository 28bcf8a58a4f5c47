"""What builds for which processor?"""
