"""Layers that stay on an accelerator from one call of a fitted model to the next."""

from collections.abc import Callable
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import torch

from skcae._core.data.arrays import Array
from skcae._core.data.modes import plainly


class Kept(NamedTuple):
    """Layers on an accelerator, and what they were made of."""

    arrays: list[Array]
    dtype: np.dtype[Any]
    device: torch.device
    layers: Any

    def are_of(
        self, arrays: list[Array], dtype: np.dtype[Any], device: torch.device
    ) -> bool:
        """Tell whether these weights, there and in this precision, are the same."""
        if (dtype, device) != (self.dtype, self.device):
            return False
        same = [*map(id, arrays)] == [*map(id, self.arrays)]
        # Who made an array writeable may have written to it.
        return same and not any(array.flags.writeable for array in arrays)


# Not in the models: they are copied, pickled and compared without it.
KEPT: WeakKeyDictionary[Any, Kept] = WeakKeyDictionary()


def kept_layers(
    model: Any,
    make: Callable[[np.dtype[Any], torch.device], Any],
    dtype: np.dtype[Any],
    device: torch.device,
) -> Any:
    """Return the layers that `make` makes of a model's weights, made once for a device.

    To look whether an array has changed takes longer than to send it. So the arrays are
    read-only while their copies are kept: to put others in their place is seen, and to
    write into them is refused.
    """
    if device.type == "cpu":  # there they share the arrays' memory
        return make(dtype, device)
    arrays = [*model._named_weights().values()]
    kept = KEPT.get(model)
    if kept is None or not kept.are_of(arrays, dtype, device):
        for array in arrays:
            array.flags.writeable = False
        # They outlive the mode of torch that the program is in.
        with plainly():
            layers = make(dtype, device)
        kept = KEPT[model] = Kept(arrays, dtype, device, layers)
    return kept.layers
