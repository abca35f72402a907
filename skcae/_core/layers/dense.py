"""One encoding layer and its decoder: h = φ(Wx + b), z = Vᵀh + c, V = W when tied."""

import math

import torch
from torch import Tensor

from skcae._core.data.moments import Scaling

# "components" W (h, d), "intercept_hidden" b (h,), "intercept_visible" c (d,) and, for
# untied weights only, "decoder_components" V (h, d).
Parameters = dict[str, Tensor]


def initial_weights(
    n_inputs: int,
    n_outputs: int,
    *,
    generator: torch.Generator,
    dtype: torch.dtype,
    device: torch.device,
) -> Tensor:
    """Draw a matrix of shape (n_outputs, n_inputs) within ±√(6 / (inputs + outputs)).

    The draw is made in float64 on the processor, so that float32 and float64 models,
    wherever they are trained, start from the same point.
    """
    bound = math.sqrt(6.0 / (n_inputs + n_outputs))
    drawn = torch.empty((n_outputs, n_inputs), dtype=dtype, device=device)
    # Row by row, since a whole float64 matrix is twice the memory of float32.
    row = torch.empty(n_inputs, dtype=torch.float64, device="cpu")
    for weights in drawn:
        weights.copy_(row.uniform_(-bound, bound, generator=generator))
    return drawn


def initial_parameters(
    n_features: int,
    n_components: int,
    *,
    tied_weights: bool,
    generator: torch.Generator,
    dtype: torch.dtype,
    device: torch.device,
    scaling: Scaling | None = None,
) -> Parameters:
    """Draw the weights; biases start at zero, unless the data are to be scaled."""

    def weights() -> Tensor:
        return initial_weights(
            n_features, n_components, generator=generator, dtype=dtype, device=device
        )

    parameters = {
        "components": weights(),
        "intercept_hidden": torch.zeros(n_components, dtype=dtype, device=device),
        "intercept_visible": torch.zeros(n_features, dtype=dtype, device=device),
    }
    if not tied_weights:
        parameters["decoder_components"] = weights()
    if scaling is not None and not scaling.is_none:
        encode_scaled(parameters, scaling)
    return parameters


def encode_scaled(parameters: Parameters, scaling: Scaling) -> None:
    """Let fresh weights encode (x − shift) / scale, and the decoder start at the shift.

    Otherwise units would be saturated at the start, and learn nothing: W becomes
    W / scale, b becomes −W shift, and c the shift.
    """
    W, b = parameters["components"], parameters["intercept_hidden"]
    W.div_(torch.from_numpy(scaling.scale).to(W))
    shift = torch.from_numpy(scaling.shift)
    for j, row in enumerate(W):
        b[j] = -(row.to(shift) @ shift)
    parameters["intercept_visible"].copy_(shift)


def decoder_weights(parameters: Parameters) -> Tensor:
    """Return V, which is W itself when the weights are tied."""
    return parameters.get("decoder_components", parameters["components"])


def squared_row_norms(parameters: Parameters, out: Tensor | None = None) -> Tensor:
    """Return ‖W_j‖² for each hidden unit, shape (h,)."""
    W = parameters["components"]
    norms: Tensor = torch.linalg.vector_norm(W, dim=1, out=out)
    return norms.square_()


def pre_activations(
    parameters: Parameters, X: Tensor, out: Tensor | None = None
) -> Tensor:
    """Return a = Wx + b for each row x, shape (n, h)."""
    W, b = parameters["components"], parameters["intercept_hidden"]
    return torch.addmm(b, X, W.mT, out=out)


def pre_outputs(
    parameters: Parameters, codes: Tensor, out: Tensor | None = None
) -> Tensor:
    """Return z = Vᵀh + c for each row h, shape (n, d)."""
    c = parameters["intercept_visible"]
    return torch.addmm(c, codes, decoder_weights(parameters), out=out)
