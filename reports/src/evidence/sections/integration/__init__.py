"""Which features of PyTorch work?"""
