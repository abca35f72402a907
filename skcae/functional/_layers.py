"""Layers of skcae and modules of torch: an entry for each kind of layer, both ways."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from skcae._core.layers.convolution import Convolution, TransposedConvolution
from skcae._core.layers.dense import Dense
from skcae._core.layers.layer import Affine, Layer
from skcae._core.layers.module import Module
from skcae._core.layers.pooling import AveragePooling, MaxPooling, Unpooling
from skcae._core.modules.closed_form import leaves
from skcae._encoders.tensors import name_of
from skcae.activations import ACTIVATIONS
from skcae.functional._images import (
    Ties,
    average_pooling_of,
    convolution_of,
    max_pooling_of,
    transposed_convolution_of,
    unpooling_of,
)

# ---- affine parts ---------------------------------------------------------------


class TiedLinear(nn.Module):
    """z = Wᵀh + c, where W is the weight of another layer.

    Parameters
    ----------
    weight : Parameter of shape (h, d)
        W. Both layers hold it, and it is trained once.
    bias : Tensor of shape (d,)
        c.
    """

    def __init__(self, weight: Any, bias: Tensor) -> None:
        super().__init__()
        self.weight = weight
        self.bias = nn.Parameter(bias.clone())

    def forward(self, H: Tensor) -> Tensor:
        """Return Wᵀh + c of each row, (n, h) → (n, d)."""
        return functional.linear(H, self.weight.mT, self.bias)

    def extra_repr(self) -> str:
        """Show the sizes."""
        n_units, n_features = self.weight.shape
        return f"in_features={n_units}, out_features={n_features}"


def linear_of(layer: Dense, ties: Ties) -> nn.Module:
    """Return the module of a dense layer, with the weight that it is tied to."""
    weight = next(ties, None)
    if weight is not None:
        return TiedLinear(weight, layer.intercept)
    n_units, n_inputs = layer.weights.shape
    module = nn.Linear(n_inputs, n_units, dtype=layer.weights.dtype)
    with torch.no_grad():
        module.weight.copy_(layer.weights)
        module.bias.copy_(layer.intercept)
    return module


def dense_of(module: Any) -> Dense:
    """Return the dense layer of a module, linear for now."""
    W, b = module.weight.detach(), module.bias
    W = W.mT if type(module) is TiedLinear else W
    b = W.new_zeros(len(W)) if b is None else b.detach()
    return Dense(W, b, ACTIVATIONS["identity"])


def own_module(layer: Module, ties: Ties) -> nn.Module:
    """Return a module that the user has written, as it was fitted, with flat codes."""
    some = next(
        iter((*layer.tensors.values(), *layer.buffers.values())), torch.empty(0)
    )
    # What old parametrizations and pruning compute from parameters, at each call.
    computed = {
        id(tensor): tensor.detach().clone()
        for part in layer.module.modules()
        for tensor in vars(part).values()
        if isinstance(tensor, Tensor) and not tensor.is_leaf
    }
    module = deepcopy(layer.module, computed)
    fitted = {**layer.tensors, **layer.buffers_like(some)}
    for name, held in (*module.named_parameters(), *module.named_buffers()):
        held.data = fitted[name].clone()
    return nn.Sequential(module, nn.Flatten())


#: What makes a layer a module, but for its activation, given what weights are tied to.
MODULES: dict[type[Layer], Callable[[Any, Ties], nn.Module]] = {
    Dense: linear_of,
    Convolution: convolution_of,
    TransposedConvolution: transposed_convolution_of,
    MaxPooling: max_pooling_of,
    AveragePooling: average_pooling_of,
    Unpooling: unpooling_of,
    Module: own_module,
}
#: What makes such a module a layer.
LAYERS: dict[type[nn.Module], Callable[[Any], Affine]] = {
    nn.Linear: dense_of,
    TiedLinear: dense_of,
}

# ---- activations, and outputs of losses -----------------------------------------

ACTIVATION_MODULES: dict[str, Callable[[], nn.Module]] = {
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "softplus": lambda: nn.Softplus(threshold=40.0),
    "elu": nn.ELU,
    "identity": nn.Identity,
}
#: The activation that is the output of a loss.
OUTPUTS = {"squared_error": "identity", "cross_entropy": "sigmoid"}


def is_activation(module: Any, name: str) -> bool:
    """Tell whether a module is an activation that estimators know by this name."""
    reference = ACTIVATION_MODULES[name]()
    if type(module) is not type(reference):
        return False
    if isinstance(module, nn.Softplus):  # from 20 on the threshold is no more seen
        return module.beta == 1 and module.threshold >= 20
    return not isinstance(module, nn.ELU) or module.alpha == 1


# ---- whole layers ---------------------------------------------------------------


def modules_of(layer: Any, ties: Ties, loss: str | None = None) -> list[nn.Module]:
    """Return a layer as modules: its affine part, its activation, its loss's output.

    Raises
    ------
    TypeError
        If there are none for its kind.
    """
    make = MODULES.get(type(layer))
    if make is None:
        known = ", ".join(kind.__name__ for kind in MODULES)
        raise TypeError(
            f"The estimator has a layer of the kind {type(layer).__name__}, for which "
            f"there is no module here. There are modules for layers of {known}."
        )
    names = [activation_name(layer), "identity" if loss is None else OUTPUTS[loss]]
    after = [ACTIVATION_MODULES[name]() for name in names if name != "identity"]
    return [make(layer, ties), *after]


def activation_name(layer: Any) -> str:
    """Return the name of a layer's activation; a module has its own in it."""
    return name_of(layer.activation) if isinstance(layer, Affine) else "identity"


def layers_of(part: nn.Module, name: str) -> list[Affine]:
    """Return the layers that a part of a module stands for.

    Raises
    ------
    TypeError
        If there are none for a module in it.
    """
    layers: list[Affine] = []
    for step in leaves(part):
        known = (name for name in ACTIVATION_MODULES if is_activation(step, name))
        activation = next(known, None)
        if type(step) in LAYERS:
            layers.append(LAYERS[type(step)](step))
        elif activation is not None and layers and is_linear(layers[-1]):
            layers[-1] = replace(layers[-1], activation=ACTIVATIONS[activation])
        else:
            raise TypeError(
                f"{name} must be made of {', '.join(k.__name__ for k in LAYERS)}, each "
                f"followed by at most one of {', '.join(ACTIVATION_MODULES)} with its "
                f"default settings, without hooks. Got {part!r}."
            )
    return layers


def is_linear(layer: Affine) -> bool:
    """Tell whether a layer has no activation yet."""
    return layer.activation is ACTIVATIONS["identity"]
