"""Do the results agree with eager PyTorch?"""
