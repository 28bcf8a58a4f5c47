"""What an op is, how each route calls it, and the one suite that holds every route to eager PyTorch."""
