"""Do the GPU kernels give right results without a GPU?"""
