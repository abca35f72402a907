"""Data that is not held in memory nor mapped from a file, but comes in batches.

It can only be read in order, from the start at each epoch. Rows are gathered into
blocks, as many as fit, and each block is shuffled by itself. Data that fits one block
is shuffled as an array is.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from skcae._core.data.arrays import Array
from skcae._core.data.rows import copy_rows, evenly_spaced, random_order
from skcae._core.data.tensors import MatrixRows

# A block holds at most so many numbers (64 MB in float32), but one batch in any case.
BLOCK_ELEMENTS = 2**24


@dataclass(eq=False)
class StreamedRows:
    """Rows that come in order, handed out as tensors by the batch.

    It stands where `Rows` does in a training.

    Parameters
    ----------
    pieces : iterable of ndarray or CSR matrix, shape (any, n_features)
        The data, from the start at each iteration.
    shape : (int, int)
        Of all the data.
    dtype, device
        What the batches are cast to and where they go.
    bounds : (float, float), optional
        Values are clipped to these bounds.

    Attributes
    ----------
    n_features : int
        The number of columns.
    may_change : bool
        The source may give other values in each pass.
    """

    may_change: ClassVar[bool] = True

    pieces: Iterable[Any]
    shape: tuple[int, int]
    dtype: np.dtype[Any] = field(kw_only=True)
    device: torch.device = field(kw_only=True)
    bounds: tuple[float, float] | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        self.n_features = self.shape[1]
        self._block = torch.empty(0, device="cpu")

    def __len__(self) -> int:
        return self.shape[0]

    def count(self, index: Array | Tensor | slice) -> int:
        """Return the number of rows of a batch."""
        return len(self) if isinstance(index, slice) else len(index)

    def batches(
        self, batch_size: int, *, shuffle: bool, generator: torch.Generator
    ) -> Iterator[Array | Tensor | slice]:
        """Cut the rows of one epoch into batches, each of one block.

        All but the last have `batch_size` rows. A batch is to be read before the next
        is asked for.
        """
        self._block = self._block[:0].clone()  # or there would be two of them
        for block in self._blocks(batch_size):
            self._block = torch.from_numpy(block)
            if batch_size >= len(self):
                yield slice(None)
                continue
            n = len(block)
            # The order within the block: the source alone can change that of blocks.
            order = random_order(n, generator) if shuffle else np.arange(n)
            for start in range(0, n, batch_size):
                yield order[start : start + batch_size]

    def _blocks(self, batch_size: int) -> Iterator[Array]:
        """Gather the rows into blocks of whole batches; the last may be short."""
        # Whole batches, so that none lies in two blocks.
        n_batches = max(1, BLOCK_ELEMENTS // (self.n_features * batch_size))
        length = min(n_batches * batch_size, len(self))
        block = np.empty((length, self.n_features), self.dtype)
        filled = 0
        for piece in self.pieces:
            n, start = piece.shape[0], 0
            # A piece may fill several blocks, and a block take several pieces.
            while start < n:
                end = min(n, start + length - filled)
                part = block[filled : filled + end - start]
                copy_rows(piece, slice(start, end), part)
                filled, start = filled + len(part), end
                # The same memory for each block: it has been read when we go on.
                if filled == length:
                    yield block
                    filled = 0
        if filled:
            yield block[:filled]

    def read(self, index: Array | Tensor | slice, out: Tensor) -> None:
        """Write rows into a tensor on the device; `index` is what `batches` gives."""
        if isinstance(index, slice):
            out.copy_(self._block)
        elif out.device.type == "cpu":
            torch.index_select(
                self._block, 0, torch.as_tensor(index, device="cpu"), out=out
            )
        else:
            out.copy_(self._block[index])
        if self.bounds is not None:
            out.clamp_(*self.bounds)

    def some(self, n: int) -> tuple[Tensor, None]:
        """Return at most n rows of the block that was read last."""
        # Rows of all blocks would take another pass over the source.
        index = evenly_spaced(len(self._block), n)
        rows = self._block.new_empty((len(index), self.n_features), device=self.device)
        self.read(index, rows)
        return rows, None

    def weights_of(self, index: Array | Tensor | slice) -> Tensor | None:
        """Return None: each row counts once."""
        return None


# What a training takes.
TrainingRows = MatrixRows | StreamedRows
