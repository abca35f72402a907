"""One encoding layer and its decoder: h = φ(Wx + b), z = Vᵀh + c, V = W when tied."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from skcae._core.data.moments import Scaling
from skcae._core.layers.dense import Dense
from skcae._core.layers.layer import Affine, MakeLayer, Parameters
from skcae.activations import ACTIVATIONS, Activation


@dataclass(frozen=True)
class Coder:
    """What encodes rows, and what decodes their codes.

    Its parameters are named "components" (W), "intercept_hidden" (b),
    "intercept_visible" (c) and, for untied weights only, "decoder_components" (V).

    Parameters
    ----------
    encoder : Affine
        x ↦ φ(Wx + b).
    decoder : Affine
        h ↦ Vᵀh + c, the pre-outputs.
    is_tied : bool
        Whether V is W.
    """

    encoder: Affine
    decoder: Affine
    is_tied: bool

    @classmethod
    def of(
        cls, parameters: Parameters, activation: Activation, make: MakeLayer = Dense
    ) -> "Coder":
        """Make layers that share these tensors."""
        # (1); the decoder's map is the transpose of what V, or W, encodes by.
        W, b = parameters["components"], parameters["intercept_hidden"]
        V, c = parameters.get("decoder_components", W), parameters["intercept_visible"]
        encoder = make(W, b, activation)
        decoder = encoder.decoder(V, c, ACTIVATIONS["identity"])
        return cls(encoder, decoder, V is W)

    @property
    def n_components(self) -> int:
        """The number h of units of a code."""
        return self.encoder.n_units

    @property
    def width(self) -> int:
        """How many numbers a row is at most on its way."""
        return self.encoder.width

    @property
    def n_multiplications(self) -> int:
        """How many multiplications a row takes in the largest product."""
        return self.encoder.n_multiplications

    @property
    def sparse_width(self) -> int | None:
        """The same of sparse rows, but for X itself, if it encodes them as they are."""
        return self.encoder.n_units if self.encoder.takes_sparse else None

    def encode(self, X: Any, out: Tensor | None = None) -> Tensor:
        """Return the code of each row, (n, d) → (n, h)."""
        return self.encoder.outputs(X, out)

    def code_and_slopes(self, X: Tensor) -> tuple[Tensor, Tensor]:
        """Return the code of each row, and the slope of each of its units."""
        H = self.encode(X)
        return H, self.encoder.slopes(H)

    def pre_outputs(self, H: Tensor, out: Tensor | None = None) -> Tensor:
        """Return z = Vᵀh + c of each code, (n, h) → (n, d)."""
        return self.decoder.pre_activations(H, out)


def initial_parameters(
    n_features: int,
    n_components: int,
    *,
    tied_weights: bool,
    generator: torch.Generator,
    dtype: torch.dtype,
    device: torch.device,
    bias_spread: float = 0.0,
    scaling: Scaling | None = None,
) -> Parameters:
    """Draw the weights, and the hidden biases from N(0, bias_spread²).

    Units of one bias bend all at the same place, of spread biases each at its own. The
    biases are further from zero, and the decoder's, if the data are to be scaled.
    """

    def weights() -> Tensor:
        return Dense.initial_weights(
            n_features, n_components, generator=generator, dtype=dtype, device=device
        )

    parameters = {
        "components": weights(),
        "intercept_hidden": torch.zeros(n_components, dtype=dtype, device=device),
        "intercept_visible": torch.zeros(n_features, dtype=dtype, device=device),
    }
    if not tied_weights:
        parameters["decoder_components"] = weights()
    if scaling is not None:
        encode_scaled(parameters, scaling)
    if bias_spread:
        intercept = parameters["intercept_hidden"]
        # Drawn in float64 on the processor, as the weights are.
        drawn = torch.empty(n_components, dtype=torch.float64, device="cpu")
        drawn.normal_(std=bias_spread, generator=generator)
        intercept.add_(drawn.to(intercept))
    return parameters


def encode_scaled(parameters: Parameters, scaling: Scaling) -> None:
    """Let fresh weights encode (x − shift) / scale, and the decoder start at the shift.

    Otherwise units would be saturated at the start, and learn nothing. Columns between
    0 and 1, as a cross-entropy needs them, are left alone.
    """
    shift, scale = torch.from_numpy(scaling.shift), torch.from_numpy(scaling.scale)
    W, b = parameters["components"], parameters["intercept_hidden"]
    Dense(W, b, ACTIVATIONS["identity"]).encode_scaled(shift, scale)
    parameters["intercept_visible"].copy_(shift)
