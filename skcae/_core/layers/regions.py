"""Regions of an image, and codes of patches of which each has one number for a unit."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import reduce
from itertools import pairwise
from typing import Literal, Self

import torch
from torch import Tensor

from skcae._core.layers.chain import Chain
from skcae._core.layers.differentiated import Differentiated
from skcae._core.layers.images import Pair, Shape
from skcae._core.layers.layer import Parameters
from skcae._core.layers.module import Module
from skcae._core.layers.patches import Patches
from skcae._core.layers.triangle import Triangle

Pooling = Literal["mean", "sum", "max"]
# From patches to their codes, (m, N) → (m, K).
Encode = Callable[[Tensor], Tensor]

# So many numbers of codes are made at a time: they stay near the processor.
BAND_ELEMENTS = 2**20


def parts(n: int, k: int) -> list[slice]:
    """Cut n positions into k parts; the first are longer by one, if not all are alike.

    That is how Coates, Ng and Lee (2011) cut 27 positions, into 14 and 13.
    """
    length, n_longer = divmod(n, k)
    ends = [length * i + min(i, n_longer) for i in range(k + 1)]
    return [slice(*pair) for pair in pairwise(ends)]


@dataclass(frozen=True)
class PooledPatches:
    """Codes of the patches at all positions, joined over each region.

    Parameters
    ----------
    patches : Patches
        The positions.
    regions : (int, int)
        Into how many regions they are cut, along the height and the width.
    pooling : {"mean", "sum", "max"}
        What joins the codes of a region.
    rest : tensor of shape (K,)
        The code that a patch has where there is nothing to see. What is added up are
        the differences from it; a mean or a maximum is one of the codes themselves.
    """

    patches: Patches
    regions: Pair
    pooling: Pooling
    rest: Tensor

    @property
    def n_inputs(self) -> int:
        """The number d of pixels, each channel by itself."""
        height, width, n_channels = self.patches.image_shape
        return height * width * n_channels

    @property
    def code_shape(self) -> Shape:
        """How many regions are along the height and the width, and the units."""
        return *self.regions, len(self.rest)

    @property
    def n_positions(self) -> int:
        """At how many positions patches are encoded."""
        rows, columns = self.patches.positions
        return rows * columns

    @property
    def n_multiplications(self) -> int:
        """How many multiplications a matrix takes that encodes them."""
        return self.n_positions * self.patches.n_numbers * len(self.rest)

    def outputs(self, X: Tensor, encode: Encode) -> Tensor:
        """Return the pooled codes of each row, (n, d) → (n, regions · K)."""
        rows, columns = map(parts, self.patches.positions, self.regions)
        # So many images that the positions of one line of regions make a band.
        n_numbers = rows[0].stop * self.patches.positions[1] * len(self.rest)
        found = []
        for some in torch.split(X, max(1, BAND_ELEMENTS // n_numbers)):
            views = self.patches.views(some)
            pooled = [self._line_of(views[:, line], columns, encode) for line in rows]
            found.append(torch.cat(pooled, 1))
        return torch.cat(found)

    def _line_of(self, views: Tensor, columns: list[slice], encode: Encode) -> Tensor:
        """Return the pooled codes of regions side by side, (n, regions · K)."""
        n, n_rows, n_columns, *_ = views.shape
        n_bands = -(-n * n_rows * n_columns * len(self.rest) // BAND_ELEMENTS)
        join = torch.maximum if self.pooling == "max" else torch.add
        bands = parts(n_rows, min(n_rows, n_bands))
        found = reduce(
            join, (self._band_of(views[:, b], columns, encode) for b in bands)
        )
        if self.pooling == "max":
            return found.flatten(1)
        sizes = [n_rows * (part.stop - part.start) for part in columns]
        n_positions = torch.tensor(sizes, device=found.device)[:, None]
        if self.pooling == "mean":
            return (found / n_positions).flatten(1)
        # Σ_p (h_p − rest).
        return (found - n_positions * self.rest).flatten(1)

    def _band_of(self, views: Tensor, columns: list[slice], encode: Encode) -> Tensor:
        """Return the sums, or the maxima, over some rows, (n, regions, K)."""
        H = encode(self.patches.rows_of(views))
        join = Tensor.amax if self.pooling == "max" else Tensor.sum
        # Positions are the axes 1 and 2, first those one below the other.
        H = join(H.view(*views.shape[:3], len(self.rest)), 1)
        return torch.stack([join(H[:, part], 1) for part in columns], 1)


@dataclass(frozen=True)
class PatchCodes(Differentiated):
    """Codes of patches by layers, pooled: an image's row to a row of its regions.

    Parameters
    ----------
    pool : PooledPatches
        What joins the codes.
    code : Chain
        From a patch to its code. That patches are whitened is in the weights of its
        first layer, so that it costs nothing; a layer that is not affine has the
        whitening below it.
    """

    pool: PooledPatches
    code: Chain

    @property
    def n_inputs(self) -> int:
        """The number d of pixels, each channel by itself."""
        return self.pool.n_inputs

    @property
    def n_units(self) -> int:
        """The number of regions, times that of units."""
        rows, columns, n_units = self.pool.code_shape
        return rows * columns * n_units

    @property
    def n_multiplications(self) -> int:
        """How many multiplications all positions take, in the largest product."""
        return self.pool.n_positions * self.code.n_multiplications

    @property
    def width(self) -> int:
        """How many numbers a row is at most: those of all its positions."""
        return self.pool.n_positions * self.code.width

    @property
    def filters(self) -> Tensor | None:
        """What the units of the first layer see, as images, (K, h, w, c), if known."""
        if any(isinstance(layer, Module | PatchCodes) for layer in self.code.layers):
            return None
        W = self.code.affine[0].matrix
        for layer in self.code.layers[1:]:
            if isinstance(layer, Triangle):  # of whitened patches
                W = layer.matrix @ W
        return W.view(-1, *self.pool.patches.shape)

    @property
    def parameters(self) -> Parameters:
        """Those of the layers."""
        return self.code.parameters

    def with_parameters(self, parameters: Parameters) -> Self:
        """Return the same layer with these parameters."""
        return replace(self, code=self.code.with_parameters(parameters))

    def to(self, dtype: torch.dtype, device: torch.device) -> Self:
        """Return the same layer in this precision and there."""
        pool = replace(self.pool, rest=self.pool.rest.to(device, dtype))
        return replace(self, pool=pool, code=self.code.to(dtype, device))

    def outputs(self, X: Tensor, out: Tensor | None = None) -> Tensor:
        """Return the pooled codes of each row, (n, d) → (n, regions · K)."""
        found = self.pool.outputs(X, self.encode)
        return found if out is None else out.copy_(found)

    def encode(self, rows: Tensor) -> Tensor:
        """Return the codes of patches, (m, N) → (m, K)."""
        return self.code.outputs(rows)[-1]
