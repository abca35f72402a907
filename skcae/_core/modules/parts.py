"""Sums over the units of a code whose graphs would be too large to be held at once.

The value is then computed without a graph. Its derivative is that of one part of the
units after the other, of each of which a graph is made when it is asked for.
"""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from skcae._core.modules.modes import differentiating

# From rows, units and whether to keep a graph: what they add to the sum, of each row.
Norms = Callable[[Tensor, range, bool], Tensor]
# How many numbers the graph of a part holds, over all rows and its units.
GRAPH_ELEMENTS = 2**26


def sum_in_parts(norms: Norms, X: Tensor, n_units: int, *, keep: bool) -> Tensor:
    """Sum what a function gives for the units, (n,), with a graph if it is to be kept.

    `keep=False` asks the function for the value alone, for as little memory.
    """
    x = X if X.requires_grad else X.detach().requires_grad_()
    units = range(n_units)
    if not keep:
        return norms(x, units, False).detach()
    graph: list[Tensor] = []
    first = saved_by(lambda: graph.append(norms(x, units[:1], True)))
    # A map without parameters may save nothing.
    step = max(1, GRAPH_ELEMENTS // max(1, first))
    if step >= n_units:
        return norms(x, units, True)
    found: Tensor = SumInParts.apply(  # type: ignore[no-untyped-call]
        norms, split(units, step), x, *leaves_of(graph[0], x)
    )
    return found


def split(units: range, step: int) -> list[range]:
    """Cut units into parts of so many."""
    return [units[k : k + step] for k in range(0, len(units), step)]


class SumInParts(torch.autograd.Function):
    """The sum over parts, with the derivative by the rows and by all else."""

    @staticmethod
    def forward(
        ctx: Any, norms: Norms, parts: list[range], x: Tensor, *others: Tensor
    ) -> Tensor:
        """Return the sum, (n,)."""
        ctx.save_for_backward(x, *others)
        ctx.norms, ctx.parts = norms, parts
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
        return None, None, *total


def saved_by(function: Callable[[], object]) -> int:
    """Count the numbers that the graph of a function holds, each once."""
    held: dict[int, Tensor] = {}

    def pack(tensor: Tensor) -> Tensor:
        held[tensor.data_ptr()] = tensor.detach()
        return tensor.detach()

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        function()
    return sum(tensor.numel() for tensor in held.values())


def leaves_of(tensor: Tensor, x: Tensor) -> Iterator[Tensor]:
    """Go through what a tensor can be differentiated by, but for x."""
    waiting, seen = [tensor.grad_fn], set()
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable") and node.variable is not x:
            yield node.variable
        waiting += [below for below, _ in node.next_functions]
