"""What must be installed, and what survives an upgrade?"""
