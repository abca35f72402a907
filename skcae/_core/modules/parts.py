"""Sums over the units of a code whose graphs would be too large to be held at once.

The value is then computed without a graph. Its derivative is that of one part of the
units after the other, of each of which a graph is made when it is asked for.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from skcae._core.modules.modes import differentiating
from skcae._core.modules.referred import Encoder, State, modules_of

# From rows, units and whether to keep a graph: what they add to the sum, of each row.
Norms = Callable[[Tensor, range, bool], Tensor]
# How many numbers the graph of a part holds, over all rows and its units.
GRAPH_ELEMENTS = 2**26


def sum_in_parts(
    norms: Norms, encoder: Encoder, X: Tensor, n_units: int, *, keep: bool
) -> Tensor:
    """Sum what a function gives for the units, (n,), with a graph if it is to be kept.

    `keep=False` asks the function for the value alone, for as little memory.
    """
    x = X if X.requires_grad else X.detach().requires_grad_()
    units = range(n_units)
    if not keep:
        return norms(x, units, False).detach()
    first = saved_by(lambda: norms(x, units[:1], True))
    # A map without parameters may save nothing.
    step = max(1, GRAPH_ELEMENTS // max(1, first))
    leaves = None if step >= n_units else leaves_of(encoder, x)
    if leaves is None:
        return norms(x, units, True)
    state = State(modules_of(encoder))
    found: Tensor = SumInParts.apply(  # type: ignore[no-untyped-call]
        norms, state, split(units, step), x, *leaves
    )
    return found


def split(units: range, step: int) -> list[range]:
    """Cut units into parts of so many."""
    return [units[k : k + step] for k in range(0, len(units), step)]


class SumInParts(torch.autograd.Function):
    """The sum over parts, with the derivative by the rows and by all else."""

    @staticmethod
    def forward(
        ctx: Any,
        norms: Norms,
        state: State,
        parts: list[range],
        x: Tensor,
        *others: Tensor,
    ) -> Tensor:
        """Return the sum, (n,)."""
        ctx.save_for_backward(x, *others)
        ctx.norms, ctx.state, ctx.parts = norms, state, parts
        whole = range(parts[0].start, parts[-1].stop)
        with torch.enable_grad():
            return norms(x.detach().requires_grad_(), whole, False).detach()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Any, ...]:
        """Return the derivatives, a part at a time, which have none themselves."""
        if torch.is_grad_enabled():
            raise RuntimeError(
                "The gradient of an exact norm is not itself differentiable where its "
                "graph is too large to be held at once: call backward without "
                "create_graph, take fewer rows, or method='probes'."
            )
        x, *others = ctx.saved_tensors
        inputs = [x.detach().requires_grad_(), *others]
        total = [torch.zeros_like(tensor) for tensor in inputs]
        with ctx.state.again():
            for part in ctx.parts:
                with differentiating(x):
                    norms = ctx.norms(inputs[0], part, True)
                # What is below the encoder is not of this graph alone: it is not freed.
                found = torch.autograd.grad(
                    norms, inputs, gradients, retain_graph=True, allow_unused=True
                )
                for sum_, one in zip(total, found, strict=True):
                    if one is not None:
                        sum_ += one
        return None, None, None, *total


def saved_by(function: Callable[[], object]) -> int:
    """Count the numbers that the graph of a function holds, each once."""
    held: dict[int, Tensor] = {}

    def pack(tensor: Tensor) -> Tensor:
        if tensor.layout is torch.strided:  # others are of the encoder, not of rows
            held[tensor.data_ptr()] = tensor.detach()
        return tensor.detach()

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        function()
    return sum(tensor.numel() for tensor in held.values())


def leaves_of(encoder: Encoder, x: Tensor) -> list[Tensor] | None:
    """Return what codes can be differentiated by, but for x.

    None is for what else was computed before: its tensors are not to be had, and the
    derivative by them would be lost.
    """
    given = x.clone()
    start = given.grad_fn
    leaves, waiting, seen = [], [encoder(given).grad_fn], {start}
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            leaves.append(node.variable)
        elif start is None or node._sequence_nr() < start._sequence_nr():
            return None  # Within a thread later nodes have higher numbers.
        waiting += [below for below, _ in node.next_functions]
    return leaves
