"""Orders the basic blocks of a kernel so that lanes that have diverged meet again.

The executor runs the lanes with the lowest position first. They meet as soon as every loop is in one piece and before
whatever follows it, and LLVM does not always lay blocks out like that.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Sequence

from shared_tests.emulator.ptx import Instruction, Kernel, Symbol

Edge = tuple[int, int]
FALLS_THROUGH = "(falls through)"  # text of a branch that is not in the kernel itself
_LEAVES = ("ret", "exit", "trap")


def _ends_block(instruction: Instruction) -> bool:
    return instruction.opcode.split(".")[0] in ("bra", *_LEAVES)


def _falls_through(instruction: Instruction) -> bool:
    return instruction.guard is not None or not _ends_block(instruction)


def branch_target(instruction: Instruction) -> str | None:
    """The label that a branch names, None for other instructions."""
    operands = instruction.operands
    if instruction.opcode.split(".")[0] == "bra" and operands and isinstance(operands[0], Symbol):
        return operands[0].name
    return None


class _Graph:
    """The control-flow graph: block n is code[starts[n]:ends[n]]."""

    def __init__(self, kernel: Kernel):
        code = kernel.code
        block_ends = [position + 1 for position, instruction in enumerate(code) if _ends_block(instruction)]
        self.starts = sorted(
            {position for position in (0, *kernel.labels.values(), *block_ends) if position < len(code)}
        )
        self.ends = [*self.starts[1:], len(code)]
        number = {start: block for block, start in enumerate(self.starts)}
        self.successors: list[list[int]] = []
        for block, end in enumerate(self.ends):
            instruction_at_end, successors = code[end - 1], []
            label = branch_target(instruction_at_end)
            if label is not None and kernel.labels[label] in number:
                successors.append(number[kernel.labels[label]])
            if _falls_through(instruction_at_end) and block + 1 < len(self.starts):
                successors.append(block + 1)
            self.successors.append(successors)


def components(nodes: Sequence[int], successors: Sequence[Sequence[int]], ignored: Collection[Edge]) -> list[list[int]]:
    """Strongly connected components in topological order (Tarjan); the search starts at the first node.

    Of each component the node that was reached first comes last in its list.
    """
    node_set = set(nodes)
    index: dict[int, int] = {}
    low_link: dict[int, int] = {}
    stack: list[int] = []
    on_stack: set[int] = set()
    result: list[list[int]] = []

    def next_nodes(node: int) -> Iterator[int]:
        return (
            successor for successor in successors[node] if successor in node_set and (node, successor) not in ignored
        )

    def open_node(node: int) -> tuple[int, Iterator[int]]:
        index[node] = low_link[node] = len(index)
        stack.append(node)
        on_stack.add(node)
        return node, next_nodes(node)

    for root in nodes:
        path = [open_node(root)] if root not in index else []
        while path:
            node, remaining = path[-1]
            child = next(remaining, None)
            if child is None:
                path.pop()
                if path:
                    low_link[path[-1][0]] = min(low_link[path[-1][0]], low_link[node])
                if low_link[node] == index[node]:
                    position = stack.index(node)
                    result.append(stack[position:][::-1])
                    on_stack.difference_update(stack[position:])
                    del stack[position:]
            elif child not in index:
                path.append(open_node(child))
            elif child in on_stack:
                low_link[node] = min(low_link[node], index[child])
    return result[::-1]


def block_order(
    nodes: Sequence[int], successors: Sequence[Sequence[int]], ignored: frozenset[Edge] = frozenset()
) -> list[int]:
    """The blocks with each loop in one piece, inner loops included; `nodes` starts with the entry."""
    result: list[int] = []
    for component in components(nodes, successors, ignored):
        entry = component[-1]
        if len(component) > 1:
            returning = ignored | {(node, entry) for node in component}
            result += block_order([entry, *sorted(set(component) - {entry})], successors, returning)
        else:
            result.append(entry)
    return result


def reordered(kernel: Kernel) -> Kernel:
    """The same kernel with its blocks in that order, and a branch wherever a block fell through to one that moved."""
    if not kernel.code:
        return kernel
    graph = _Graph(kernel)
    order = block_order(range(len(graph.starts)), graph.successors)
    code: list[Instruction] = []
    new_positions: dict[int, int] = {}
    for place, block in enumerate(order):
        start, end = graph.starts[block], graph.ends[block]
        new_positions[start] = len(code)
        code += kernel.code[start:end]
        last_instruction = kernel.code[end - 1]
        if _falls_through(last_instruction) and end < len(kernel.code) and order[place + 1 : place + 2] != [block + 1]:
            code.append(Instruction("bra", (Symbol(f"%{end}"),), None, False, FALLS_THROUGH, last_instruction.line))
    new_positions[len(kernel.code)] = len(code)
    labels = {label: new_positions[position] for label, position in kernel.labels.items()}
    return dataclasses.replace(
        kernel, code=code, labels=labels | {f"%{start}": position for start, position in new_positions.items()}
    )
