"""The specs of the ops, the routes that call them, and the test suite that checks every route against eager PyTorch."""
