"""Op fused_add_rms_norm: residual = x + residual, then x = rms_norm(residual), in place.

Zhang and Sennrich, https://arxiv.org/abs/1910.07467; the kernel is in add_rms.mojo.
"""


from .common.add_rms import add_rms, check_add_rms
from .common.torch_op import Call, Message, TorchOp
from .common.vectors import FLOATS


# ---- binding ----


struct Op(TorchOp):
    comptime NAME: StaticString = "fused_add_rms_norm"
    comptime INPUTS: List[StaticString] = ["x", "residual", "weight"]
    comptime WRITTEN: List[StaticString] = ["x", "residual"]
    comptime SCALARS = 1
    comptime DTYPES = FLOATS

    @staticmethod
    def check(call: Call) raises Message:
        check_add_rms(call)

    @staticmethod
    def run[dtype: DType, target: StaticString](call: Call) raises:
        add_rms[dtype, target](call)
