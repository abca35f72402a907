"""What computes a step of a network: the loss, the penalties and the gradient."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from skcae._core.layers.gradient import Gradient
from skcae._core.layers.layer import Parameters

# Vectors of signs for the code and for the output, (n, k, h) and (n, k, d), or None
# where a norm is exact or not asked for.
Probes = tuple[Tensor | None, Tensor | None]


class Step(Protocol):
    """What computes steps, of any batch that its memory has room for."""

    def rows(self, n: int) -> Tensor:
        """Return where the n rows of a batch are to be put, (n, d)."""

    def totals_and_gradient(
        self, n: int, weights: Tensor | None, probes: Probes
    ) -> tuple[Tensor, Gradient]:
        """Return loss and penalties of the rows that are there, and the gradient.

        The two numbers are sums over the rows with their weights, (2,).
        """


@dataclass(frozen=True)
class StepByParts:
    """A step that takes a few rows at a time.

    Parameters
    ----------
    of_part : callable
        From rows, their weights and their probes to loss and penalties, and to the
        gradient by parameter, all summed over the rows.
    memory : tensor of shape (n, d)
        For the rows of the largest batch.
    n_at_once : int
        How many rows it takes.
    """

    of_part: Callable[[Tensor, Tensor | None, Probes], tuple[Tensor, Parameters]]
    memory: Tensor
    n_at_once: int

    def rows(self, n: int) -> Tensor:
        """Return where the n rows of a batch are to be put, (n, d)."""
        return self.memory[:n]

    def totals_and_gradient(
        self, n: int, weights: Tensor | None, probes: Probes
    ) -> tuple[Tensor, Gradient]:
        """Return loss and penalties of the rows that are there, and the gradient."""
        names: list[str] = []

        def of_rows(rows: slice) -> list[Tensor]:
            of_code, of_output = (None if v is None else v[rows] for v in probes)
            w = None if weights is None else weights[rows]
            totals, parts = self.of_part(self.memory[rows], w, (of_code, of_output))
            names[:] = parts
            return [totals, *parts.values()]

        totals, *gradient = summed(of_rows, n, self.n_at_once)
        return totals, Gradient(1 / n, dict(zip(names, gradient, strict=True)))


def summed(
    of_rows: Callable[[slice], list[Tensor]], n: int, n_at_once: int
) -> list[Tensor]:
    """Return the sums over n rows of what a function gives for a few at a time."""
    sums: list[Tensor] = []
    for start in range(0, n, n_at_once):
        found = of_rows(slice(start, min(n, start + n_at_once)))
        sums = [*torch._foreach_add(sums, found)] if sums else found
    return sums
