"""Receptive fields: which pixels a unit sees, and units that see none in common."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from skcae._core.layers.images import Pair, Shape


@dataclass(frozen=True)
class ReceptiveField:
    """The pixels that each unit of an image of units sees, all their channels.

    Parameters
    ----------
    image_shape, code_shape : (int, int, int)
        Height, width and channels of the pixels and of the units.
    size : (int, int)
        How many pixels a unit sees at most, along the height and the width.
    stride : (int, int)
        By how many pixels the field of the next unit is further on.
    """

    image_shape: Shape
    code_shape: Shape
    size: Pair
    stride: Pair

    def below(self, other: "ReceptiveField") -> "ReceptiveField":
        """Return the field of the units of another layer, above this one."""
        # The next of those units is a stride further on in the image.
        sides = zip(self.size, self.stride, other.size, strict=True)
        rows, columns = (size + (n - 1) * stride for size, stride, n in sides)
        (down, right), (by_rows, by_columns) = self.stride, other.stride
        strides = down * by_rows, right * by_columns
        return ReceptiveField(
            self.image_shape, other.code_shape, (rows, columns), strides
        )

    @property
    def of_code(self) -> "Comb":
        """Units whose fields do not meet."""
        sides = zip(self.size, self.stride, strict=True)
        rows, columns = (-(-size // stride) for size, stride in sides)
        return Comb(self.code_shape, (rows, columns))

    @property
    def of_image(self) -> "Comb":
        """Pixels of which no unit sees two."""
        return Comb(self.image_shape, self.size)


@dataclass(frozen=True)
class Comb:
    """Vectors that are 1 at one place of each period, in one channel, and else 0.

    Rows of a Jacobian that have no column in common can be summed up before they are
    squared (52): ‖J‖²_F = Σ_u ‖Jᵀu‖² over the vectors u.

    Parameters
    ----------
    shape : (int, int, int)
        Height, width and channels of what the vectors are.
    period : (int, int)
        Along the height and the width.
    """

    shape: Shape
    period: Pair

    def __len__(self) -> int:
        """Return how many vectors there are."""
        return math.prod(map(min, self.shape, (*self.period, self.shape[2])))

    def vectors(self) -> Tensor:
        """Return them, (k, n), on the processor."""
        rows, columns, channels = (
            torch.eye(min(n, p), device="cpu")[torch.arange(n, device="cpu") % p]
            for n, p in zip(self.shape, (*self.period, self.shape[2]), strict=True)
        )
        combs = torch.einsum("ra,cb,kd->abdrck", rows, columns, channels)
        return combs.reshape(len(self), -1)


def single(n: int) -> Comb:
    """Return the n unit vectors."""
    return Comb((1, 1, n), (1, 1))
