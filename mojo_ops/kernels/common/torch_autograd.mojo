"""The kernel of an op for the key AutogradCPU, which runs calls that need no derivative without Python."""

from std.memory import Pointer

from .torch_abi import Accessors, Stack, borrow_optional, call_formula
from .torch_boxed import boxed
from .torch_op import TorchOp, positions


def may_run_past_autograd[Op: TorchOp](stack: Stack) -> Bool:
    """Whether a call may go directly to the kernel, past autograd and all dispatch keys below it. This
    applies to plain tensors that need no derivative. All other calls must reach modes, subclasses, lazy
    negation (the key Negative) or autograd. The arguments stay on the stack.
    """
    comptime INPUTS = len(Op.INPUTS)
    comptime OPTIONAL = positions(Op.INPUTS, Op.OPTIONAL)
    var accessors = Accessors()
    if accessors.mode_is_active():
        return False
    comptime for i in range(INPUTS):
        var value = stack.unsafe_load(i)
        var tensor = borrow_optional(value) if OPTIONAL >> i & 1 else value
        if tensor and not (
            accessors.is_plain(tensor)
            and not accessors.requires_grad(tensor)
            and not accessors.has_tangent(tensor)
        ):
            return False
    return True


def autograd[Op: TorchOp, engine: Int, origin: Origin](stack: Stack, name: Pointer[UInt8, origin]):
    """The kernel for the key AutogradCPU. Calls that it cannot run go to the gradient formula of the op
    `name`."""
    if may_run_past_autograd[Op](stack):
        boxed[Op, False, engine](stack)
    else:
        call_formula(name, stack)
