"""Compiles the graphs of all ops into one MEF: `python -m mojo_ops.compile TARGET LIBRARY MEF OP...`.

`mojo_ops.build` runs this module in a separate process, because a virtual GPU must be set up before MAX's graph API is
imported, and because the engine sometimes aborts at interpreter exit (MAX 26.7: “terminate called without an active
exception”). It writes one JSON object per stage to stdout; compiler messages go to stderr.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from . import artifacts
from .library import RECORD


def _report(stage: str, start: float) -> None:
    print(json.dumps({"stage": stage, "seconds": time.perf_counter() - start}), flush=True)


def _set_target(target: str) -> None:
    api, _, architecture = target.partition(":")
    if api == "cpu":
        return
    from max import driver

    driver.set_virtual_device_api(api)
    driver.set_virtual_device_target_arch(architecture)
    driver.set_virtual_device_count(1)


def _add_graph(module: Any, library: Any, kernel: Any, dtype_name: str) -> None:
    """Adds the graph of an op and dtype for a GPU, with symbolic sizes."""
    from max.dtype import DType
    from max.graph import BufferType, DeviceRef, Graph, TensorType, ops

    host = DeviceRef.CPU()
    device = DeviceRef.GPU(0)
    dtypes = [DType[name] for name in kernel.tensor_dtypes(dtype_name)]
    output_count = len(kernel.outputs)
    types: list[Any] = [BufferType(dtype, shape, device) for dtype, shape in zip(dtypes, kernel.outputs, strict=False)]
    types += [
        TensorType(dtype, shape, device)
        for dtype, shape in zip(dtypes[output_count:], kernel.graph_inputs, strict=True)
    ]
    types += [TensorType(DType[name], [], host) for name in kernel.scalar_types]
    with Graph(kernel.graph_name(dtype_name), input_types=types, module=module, kernel_library=library) as graph:
        values = [value.buffer for value in graph.inputs[:output_count]] + [
            value.tensor for value in graph.inputs[output_count:]
        ]
        ops.inplace_custom(kernel.struct, device, values)
        graph.output()


def _add_run_graph(module: Any, library: Any) -> None:
    """Adds the single graph for the CPU, see kernels/common/engine.mojo."""
    from max.dtype import DType
    from max.graph import BufferType, DeviceRef, Graph, ops

    host = DeviceRef.CPU()
    record = BufferType(DType.int64, (RECORD,), host)
    with Graph("mojo_ops_run", input_types=[record], module=module, kernel_library=library) as graph:
        ops.inplace_custom("mojo_ops_run", host, [graph.inputs[0].buffer])
        graph.output()


def main(target: str, library_path: str, mef: str, ops: list[str]) -> None:
    """Compiles the graphs of `ops` for one target and writes the MEF."""
    start = time.perf_counter()
    _set_target(target)
    from max.driver import CPU, Accelerator
    from max.engine import InferenceSession
    from max.graph import KernelLibrary, Module

    kernels = [artifacts.kernel_of(op) for op in ops]
    _report("import", start)

    start = time.perf_counter()
    library = KernelLibrary()
    library.load_paths([Path(library_path)])
    module = Module()
    if target == "cpu":
        _add_run_graph(module, library)
    else:
        for kernel in kernels:
            for dtype in kernel.dtypes:
                _add_graph(module, library, kernel, dtype)
    _report("graphs", start)

    start = time.perf_counter()
    session = InferenceSession(devices=[CPU() if target == "cpu" else Accelerator(0)])
    session.compile(module, custom_extensions=[Path(library_path)]).export_mef(mef)
    _report("compile", start)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
