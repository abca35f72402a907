"""An encoder of any kind, and data for it, as layers and rows to be measured."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from torch import Tensor

from skcae._core.data.arrays import (
    device_for,
    resolve_device_or_cpu,
    torch_dtype,
    working_dtype,
)
from skcae._core.data.evaluation import map_rows
from skcae._core.data.modes import plainly
from skcae._core.data.rows import Rows, copy_rows
from skcae._core.layers.chain import Chain
from skcae._core.layers.layer import Layer
from skcae._encoders.namespaces import on_host
from skcae._encoders.steps import (
    decoding_layers,
    encoding_layers,
    features_of,
    split_steps,
)
from skcae._encoders.tensors import chain_of
from skcae._fit.data import check_n_features, check_X
from skcae.losses import LOSSES, Loss


@dataclass(frozen=True)
class Measurement:
    """A fitted encoder with rows to measure it at.

    Parameters
    ----------
    layers : Chain
        Of the trailing run of encoders.
    rows : Rows
        What the first of them takes: X after the fixed preprocessing.
    dtype : dtype
        Of the results: that of the data.
    steps, encoders : list of estimators
        The preprocessing, and the encoders.
    """

    layers: Chain
    rows: Rows
    dtype: np.dtype[Any]
    steps: list[Any]
    encoders: list[Any]

    def map(
        self,
        function: Callable[[Tensor], Tensor],
        *,
        shape: tuple[int, ...] = (),
        width: int = 1,
    ) -> np.ndarray:
        """Apply a function to all rows, in chunks of bounded memory.

        Parameters
        ----------
        function : callable
            From rows (n, d) to results (n, *shape).
        shape : tuple of int
            Of each row's result.
        width : int
            How many numbers the function needs for each row, if these are more than
            the widest layer has inputs or units.

        Returns
        -------
        results : ndarray of shape (n_samples, *shape)
        """
        results: np.ndarray = map_rows(
            self.rows,
            lambda rows, out: out.copy_(function(rows)),
            shape=shape,
            width=max(width, self.layers.width),
            n_multiplications=max(width, self.layers.n_multiplications),
            dtype=self.dtype,
        )
        return results


def dense_rows(rows: Rows, chosen: np.ndarray) -> np.ndarray:
    """Return some of the rows as an array, whatever they are kept as."""
    dense = np.empty((len(chosen), rows.n_features), rows.dtype)
    copy_rows(rows.matrix, chosen, dense)
    return dense


@plainly()
def measurement(encoder: Any, X: Any, *, in_double: bool = False) -> Measurement:
    """Check an encoder and data for it.

    `in_double` asks to compute in float64 whatever the data is.
    """
    steps, encoders = split_steps(encoder)
    found = encoding_layers(encoders)
    # What is measured are NumPy's arrays, whatever the rows come in.
    X = on_host(features_of(steps, X) if steps else check_X(encoders[0], X))
    check_n_features(X, found[0].n_inputs)
    result_dtype = working_dtype(X.dtype)
    dtype = np.dtype(np.float64) if in_double else result_dtype
    # scikit-learn's encoders have none.
    devices = [layer.device for layer in encoders if hasattr(layer, "device")]
    device = device_for(next(iter(devices), None), X)
    device = resolve_device_or_cpu(device, dtype)
    rows = Rows(X, dtype=dtype, device=device)
    layers = chain_of(found, dtype, device)
    return Measurement(layers, rows, result_dtype, steps, encoders)


@dataclass(frozen=True)
class Decoder:
    """What decodes codes.

    Parameters
    ----------
    layers : list of Layer
        From the code down, without what their outputs are.
    losses : list of Loss or None
        Those whose outputs follow these layers; the last is that of the input.
    """

    layers: list[Layer]
    losses: list[Loss | None]

    @property
    def loss(self) -> Loss:
        """That of the input."""
        return cast(Loss, self.losses[-1])

    def pre_outputs(self, H: Tensor) -> Tensor:
        """Return what the output of the last of them is of, (n, d)."""
        *above, last = self.layers
        for layer, loss in zip(above, self.losses[:-1], strict=True):
            H = layer.outputs(H) if loss is None else loss.output(layer.outputs(H))
        return last.outputs(H)

    def decode(self, H: Tensor) -> Tensor:
        """Return the reconstructions, (n, d)."""
        return self.loss.output(self.pre_outputs(H))


def decoder_of(measured: Measurement) -> Decoder:
    """Return what decodes the codes of the encoders."""
    rows, parts = measured.rows, decoding_layers(measured.encoders)
    return Decoder(
        [part.layer.to(torch_dtype(rows.dtype), rows.device) for part in parts],
        [None if part.loss is None else LOSSES[part.loss] for part in parts],
    )
