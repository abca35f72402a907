"""The matrices of a training step, allocated once and used at every step."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

# What is computed elementwise is computed so many numbers at a time and thread, so that
# what lies between two operations is still in the cache (256 KB in float32).
TILE_ELEMENTS = 2**16


@dataclass(frozen=True)
class Batch:
    """The matrices of a step over n rows.

    Samples are rows. Where a penalty looks at S noisy copies of each row, they are
    encoded with the rows, as further samples, and not decoded: there are m = (1 + S) n
    inputs then, and n otherwise.

    Parameters
    ----------
    inputs : tensor of shape (m, d)
        What is encoded, [X; copies].
    X : tensor of shape (n, d)
        What is encoded and decoded.
    copies : tensor of shape (S, n, d) or None
        X with noise, S times, if there are any.
    target : tensor of shape (n, d)
        What is to be reconstructed: X itself, unless X is a corrupted copy.
    Z : tensor of shape (n, d)
        The decoder's pre-outputs, then the gradient dZ of the loss.
    codes : tensor of shape (m, h)
        φ(a) of all inputs.
    H : tensor of shape (n, h)
        Those of X.
    gradients : tensor of shape (m, h)
        The gradient with respect to the pre-activations of all inputs.
    dA : tensor of shape (n, h)
        That of X.
    left, right : tensors of shapes (m + n, h) and (m + n, d)
        [gradients; H] and [inputs; dZ]: for tied weights the gradient of W is leftᵀ
        right. All that is above, but for another target, lies in them and behind them.
    shares : list of tensors of shape (h,)
        What each penalty weighs the squared norms of W's rows by.
    d_norms : tensor of shape (h,)
        The derivative with respect to those.
    columns : Columns
        Some of it again with samples as columns.
    outputs : list of (target, Z)
        Both again, a tile of rows at a time.
    units : list of UnitTile
        Codes and gradients again, a tile of samples at a time.
    """

    inputs: Tensor
    X: Tensor
    copies: Tensor | None
    target: Tensor
    Z: Tensor
    codes: Tensor
    H: Tensor
    gradients: Tensor
    dA: Tensor
    left: Tensor
    right: Tensor
    shares: list[Tensor]
    d_norms: Tensor
    columns: "Columns"
    outputs: list[tuple[Tensor, Tensor]]
    units: list["UnitTile"]

    def __len__(self) -> int:
        return self.X.shape[0]


class Columns(NamedTuple):
    """What the gradient is made of, with samples as columns."""

    left: Tensor
    gradients: Tensor
    H: Tensor
    Z: Tensor


class Work(NamedTuple):
    """The gradient of a tile, and matrices of its shape to work in."""

    gradient: Tensor
    scratch: list[Tensor]


class UnitTile(NamedTuple):
    """The units of some rows of a batch: their codes, and what is made of them.

    `every` is of the rows and their copies, (1 + S, rows, h), as the codes are, and
    `own` of the rows alone.
    """

    rows: slice
    codes: Tensor
    every: Work
    own: Work


class Units(NamedTuple):
    """What of a batch has to do with its units, where there is no more of it."""

    units: list[UnitTile]
    shares: list[Tensor]
    d_norms: Tensor


class Workspace:
    """The memory of the batches of one training.

    Parameters
    ----------
    batch_size : int
        The rows of the largest batch.
    n_features, n_components : int
        d and h.
    n_scratch : int
        Scratch matrices that the objective needs.
    n_penalties : int
        Penalties that the objective has.
    corrupts : bool
        Whether what is encoded is another matrix than what is to be reconstructed.
    n_copies : int
        S, the noisy copies of each row that are encoded beside it.
    dtype, device
        Of all matrices.
    """

    def __init__(
        self,
        batch_size: int,
        n_features: int,
        n_components: int,
        n_scratch: int,
        *,
        n_penalties: int = 0,
        corrupts: bool = False,
        n_copies: int = 0,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        self.n_features = n_features
        self.n_components = n_components
        self.corrupts = corrupts
        self.n_copies = n_copies
        n_inputs = (1 + n_copies) * batch_size
        # An accelerator takes all rows at once.
        is_cpu = device.type == "cpu"
        tile = TILE_ELEMENTS * torch.get_num_threads() if is_cpu else sys.maxsize
        n_units = (1 + n_copies) * n_components
        self._output_rows = min(max(1, tile // n_features), batch_size)
        self._unit_rows = min(max(1, tile // n_units), batch_size)
        numbers = partial(torch.zeros, dtype=dtype, device=device)
        self._units = numbers(2 * n_inputs * n_components)
        self._right = numbers((n_inputs + batch_size) * n_features)
        self._shares = [numbers(n_components) for _ in range(n_penalties)]
        self._d_norms = numbers(n_components)
        self._target = numbers(batch_size * n_features if corrupts else 0)
        self._scratch = [numbers(self._unit_rows * n_units) for _ in range(n_scratch)]
        self._batches: dict[int, Batch] = {}

    def batch(self, n: int) -> Batch:
        """Return the matrices for n rows, which share memory with those for others."""
        if n not in self._batches:
            self._batches[n] = self._make(n)
        return self._batches[n]

    def _make(self, n: int) -> Batch:
        d, h, m = self.n_features, self.n_components, (1 + self.n_copies) * n
        # [gradients; H] and [inputs; dZ] of (18) and (19), where dZ stands in the place
        # of Z. The codes of the copies follow on H.
        units = self._units[: 2 * m * h].view(2 * m, h)
        gradients, codes = units[:m], units[m:]
        right = self._right[: (m + n) * d].view(m + n, d)
        inputs, Z = right[:m], right[m:]
        X = inputs[:n]
        target = self._target[: n * d].view(n, d) if self.corrupts else X
        tiles = [torch.split(matrix, self._output_rows) for matrix in (target, Z)]
        return Batch(
            inputs=inputs,
            X=X,
            copies=inputs[n:].view(-1, n, d) if self.n_copies else None,
            target=target,
            Z=Z,
            codes=codes,
            H=codes[:n],
            gradients=gradients,
            dA=gradients[:n],
            left=units[: m + n],
            right=right,
            shares=self._shares,
            d_norms=self._d_norms,
            columns=Columns(units[: m + n].mT, gradients.mT, codes[:n].mT, Z.mT),
            outputs=list(zip(*tiles, strict=True)),
            units=list(self._unit_tiles(codes, gradients, n)),
        )

    def _unit_tiles(
        self, codes: Tensor, gradients: Tensor, n: int
    ) -> Iterator[UnitTile]:
        """Cut the n rows, each with its copies, into tiles."""
        # The first axis has place 0 for the rows, and the others for their copies.
        shape = (1 + self.n_copies, n, self.n_components)
        for start in range(0, n, self._unit_rows):
            rows = slice(start, start + self._unit_rows)
            tile, gradient = codes.view(shape)[:, rows], gradients.view(shape)[:, rows]
            scratch = [part[: tile.numel()].view(tile.shape) for part in self._scratch]
            own = Work(gradient[0], [matrix[0] for matrix in scratch])
            yield UnitTile(rows, tile, Work(gradient, scratch), own)
