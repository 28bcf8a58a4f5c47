"""An op's kernel of the key AutogradCPU, without Python for calls that need no derivative."""

from std.memory import Pointer

from .torch_abi import Accessors, Stack, borrow_optional, call_formula
from .torch_boxed import boxed
from .torch_op import TorchOp, positions


def may_run_past_autograd[Op: TorchOp](stack: Stack) -> Bool:
    """Whether a call may go to the kernel at once, past autograd and every dispatch key below it.

    That is so for plain tensors of which no derivative is asked. A mode, a subclass, a lazy negation (the key
    Negative) and autograd must see all other calls. Leaves the arguments on the stack.
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
    """The kernel of the key AutogradCPU: what it cannot run goes to the gradient formula of the op `name`."""
    if may_run_past_autograd[Op](stack):
        boxed[Op, False, engine](stack)
    else:
        call_formula(name, stack)
