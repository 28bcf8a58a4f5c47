"""What does a call cost?"""
