"""Error messages of calls that reach no kernel: wrong arguments, or a library that is not loaded."""

from __future__ import annotations

import pytest
import torch

from shared_tests.child import run_child
from shared_tests.conftest import routes_where
from shared_tests.routes import Route
from shared_tests.spec import OpSpec


@routes_where(lambda route: route.ours)
def test_wrong_arguments_are_reported_under_the_ops_name(spec: OpSpec, route: Route, device: str) -> None:
    args = spec.sized(2, spec.dtypes[0], device)
    required = sum(not a.has_default_value() for a in spec.parsed.arguments)
    surplus_args = (*args[: len(spec.parsed.arguments)], *[1] * (len(spec.parsed.arguments) - len(args) + 1))
    scalars = [i for i, a in enumerate(spec.parsed.arguments) if str(a.type) in ("float", "int", "bool")]
    calls = {
        "none": ((), {}),
        "missing": (args[: required - 1], {}),
        "too many": (surplus_args, {}),
        "unknown keyword": (args, {"unknown": 1}),
        "no tensor": (("text", *args[1:]), {}),
        **{f"no {spec.parsed.arguments[i].name}": ((*args[:i], "text", *args[i + 1 :]), {}) for i in scalars},
    }
    for label, (positional, named) in calls.items():
        with pytest.raises((TypeError, RuntimeError)) as error_info:
            route.call(spec)(*positional, **named)
        message = str(error_info.value)
        assert spec.name in message, f"{label}: {message}"
        assert ".no_grad" not in message, f"{label}: {message}"


@routes_where(lambda route: route.namespace is not None)
def test_tensors_without_a_kernel_are_named(spec: OpSpec, route: Route, device: str) -> None:
    """The message names the kind of tensor, instead of the dispatcher's list of some fifty keys."""
    args = spec.sized(2, spec.dtypes[0], device)
    sparse = tuple(a.to_sparse() if isinstance(a, torch.Tensor) else a for a in args)
    for call in (route.call(spec), route.overload(spec)):
        with pytest.raises(NotImplementedError) as error_info:
            call(*sparse)
        assert f"torch.ops.{route.namespace}.{spec.name} has no kernel for torch.sparse_coo tensors" in str(
            error_info.value
        )


def test_mojo_aot_is_not_loaded() -> None:
    pytest.importorskip("mojo_ops", exc_type=ImportError)
    child = run_child(
        """
        import torch, mojo_ops
        from shared_tests.spec import all_specs
        for spec in all_specs().values():
            args = spec.sized(2, spec.dtypes[0], "cpu")
            try:
                getattr(torch.ops.mojo_aot, spec.name)(*args)
            except RuntimeError as error:
                assert f"torch.ops.mojo_aot.{spec.name} is not loaded; run: import mojo_ops.aot" in str(error), error
                assert "DispatchKey" not in str(error) and "BackendSelect" not in str(error), error
            else:
                raise SystemExit(f"{spec.name} ran")
        import mojo_ops.aot
        assert torch.ops.mojo_aot.add(torch.ones(2), torch.ones(2)).tolist() == [2, 2]
        """,
        timeout=120,
    )
    assert child.code == 0, str(child)


def test_max_is_not_installed() -> None:
    pytest.importorskip("mojo_ops.aot", exc_type=ImportError)
    child = run_child(
        """
        import importlib.util, torch
        find_spec = importlib.util.find_spec
        importlib.util.find_spec = lambda name, *rest: None if name == "max" else find_spec(name, *rest)
        import mojo_ops
        from shared_tests.spec import all_specs
        for spec in all_specs().values():
            args = spec.sized(2, spec.dtypes[0], "cpu")
            for call in (getattr(torch.ops.mojo_ops, spec.name), getattr(mojo_ops, spec.name)):
                try:
                    call(*args)
                except RuntimeError as error:
                    assert "pip install mojo_ops[max]" in str(error), error
                    assert "BackendSelect" not in str(error), error
                else:
                    raise SystemExit(f"{spec.name} ran")
        assert torch.ops.mojo_aot.add(torch.ones(2), torch.ones(2)).tolist() == [2, 2]
        """,
        timeout=120,
    )
    assert child.code == 0, str(child)


def test_op_is_newer_than_the_mojo_libraries() -> None:
    pytest.importorskip("mojo_ops", exc_type=ImportError)
    pytest.importorskip("mojo_ops.aot", exc_type=ImportError)
    child = run_child(
        """
        import torch, mojo_ops.aot
        from mojo_ops.kernel import Kernel
        from mojo_ops.register import define
        define(Kernel("newer", outputs=(("n",),), inputs=(("n",),)), "(Tensor x) -> Tensor", print)
        for namespace in ("mojo_ops", "mojo_aot"):
            try:
                getattr(torch.ops, namespace).newer(torch.ones(2))
            except NotImplementedError as error:
                assert f"{namespace}.newer is not built for the CPU; run: nox -s build_mojo" in str(error), error
            else:
                raise SystemExit(f"{namespace} ran")
        """,
        timeout=120,
    )
    assert child.code == 0, str(child)


def test_op_is_newer_than_the_cpp_library() -> None:
    pytest.importorskip("cpp_ext", exc_type=ImportError)
    child = run_child(
        """
        import pkgutil, torch
        iter_modules = pkgutil.iter_modules
        pkgutil.iter_modules = lambda *args: [*iter_modules(*args), pkgutil.ModuleInfo(None, "newer", False)]
        try:
            import cpp_ext
        except ImportError as error:
            assert "was built before newer existed; run `nox -s build_cpp`" in str(error), error
        else:
            raise SystemExit("cpp_ext was imported")
        """,
        timeout=120,
    )
    assert child.code == 0, str(child)
