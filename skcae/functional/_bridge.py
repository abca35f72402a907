"""Fitted estimators as torch modules with the same weights, and the way back."""

import re
from collections import OrderedDict
from collections.abc import Iterator
from copy import copy
from typing import Any, cast

import torch
from torch import nn

from skcae._core.data.arrays import array_of
from skcae._encoders.steps import DecodingLayer
from skcae.functional._layers import (
    OUTPUTS,
    activation_name,
    layers_of,
    modules_of,
)
from skcae.persistence import get_weights, set_weights

# The names of a decoder's weights, if it has some of its own.
OF_DECODER = re.compile(r"decoder(_components_|\.(\d+\.)?weight)$")


def to_module(estimator: Any) -> nn.Sequential:
    """Make a torch module of a fitted estimator, with the same weights.

    Parameters
    ----------
    estimator : estimator
        A fitted autoencoder of skcae, of one layer or more, or a fine-tuned network.
        Of the latter the module takes what its first layer takes, after preprocessing.

    Returns
    -------
    module : torch.nn.Sequential
        With the parts `encoder` and `decoder`, whose outputs are those of `transform`
        and `inverse_transform`. Of a fine-tuned network they are `encoder` and
        `output`, which ends linear, as `decision_function` or a regressor's `predict`.

        The parts are sequences of `Linear` layers and activations, in the precision of
        the model, on the processor. Layers of images are sequences that make images of
        flat rows, with the channels last as in the model, and rows of images. Tied
        weights are one parameter of both a layer of the encoder and one of the decoder:
        trained once, and twice in a `state_dict`. What is trained afterwards does not
        change the estimator.

    Raises
    ------
    NotFittedError
        If the estimator is not fitted.
    TypeError
        If it is no autoencoder or fine-tuned network of skcae, or has layers that are
        no modules of torch.

    See Also
    --------
    from_module : The way back.

    Examples
    --------
    >>> import numpy as np
    >>> import torch
    >>> from skcae import ContractiveAutoencoder
    >>> from skcae.functional import jacobian_penalty, to_module
    >>> from skcae.inspection import jacobian_norm
    >>> X = np.random.default_rng(0).random((50, 8))
    >>> cae = ContractiveAutoencoder(4, max_iter=20, tol=0.1, random_state=0).fit(X)
    >>> module = to_module(cae)
    >>> module
    Sequential(
      (encoder): Sequential(
        (0): Linear(in_features=8, out_features=4, bias=True)
        (1): Sigmoid()
      )
      (decoder): Sequential(
        (0): TiedLinear(in_features=4, out_features=8)
      )
    )
    >>> rows = torch.from_numpy(X)
    >>> np.allclose(module.encoder(rows).detach(), cae.transform(X))
    True
    >>> norms = jacobian_penalty(module.encoder, rows, reduction="none")
    >>> np.allclose(norms.detach(), jacobian_norm(cae, X) ** 2)
    True
    """
    weights = get_weights(estimator)  # which refuses what has none
    encoding, decoding = parts_of(estimator)
    # Layers of torch draw numbers before they get theirs.
    with torch.device("cpu"), torch.random.fork_rng([]):
        encoder = [part for layer in encoding for part in modules_of(layer, iter(()))]
        is_tied = not (is_network(estimator) or any(map(OF_DECODER.search, weights)))
        ties = mirrored_weights(encoder) if is_tied else iter(())
        decoder = [
            part for layer, loss in decoding for part in modules_of(layer, ties, loss)
        ]
    parts = {"encoder": nn.Sequential(*encoder)}
    parts[second_part(estimator)] = nn.Sequential(*decoder)
    return nn.Sequential(OrderedDict(parts))


def from_module(module: nn.Module, estimator: Any) -> Any:
    """Make an estimator the fitted model that has the weights of a torch module.

    Parameters
    ----------
    module : torch.nn.Module
        With the parts that `to_module` gives one, each a `Linear` or a `Sequential` of
        such and activations.

    estimator : estimator
        An autoencoder of dense layers, with the sizes, `activation`, `loss` and
        `tied_weights` of the module; or a fitted fine-tuned network. Training can go on
        from the weights, with its own objective and a fresh solver.

    Returns
    -------
    estimator : estimator
        The same object.

    Raises
    ------
    NotFittedError
        If the estimator is a fine-tuned one and not fitted.
    TypeError
        If it is no autoencoder or fine-tuned network of skcae, or the module has no
        such parts, or others in them.
    ValueError
        If the module is not what the estimator would be: its sizes, activations or
        output differ, or its weights are not tied. The estimator is then what it was
        before.

    See Also
    --------
    to_module : The way there.
    skcae.persistence.set_weights : The same for arrays.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> from skcae import ContractiveAutoencoder
    >>> from skcae.functional import from_module
    >>> module = nn.Module()
    >>> module.encoder = nn.Sequential(nn.Linear(8, 4), nn.Tanh())
    >>> module.decoder = nn.Linear(4, 8)
    >>> cae = ContractiveAutoencoder(4, activation="tanh", tied_weights=False)
    >>> cae = from_module(module, cae)
    >>> X = torch.rand(10, 8)
    >>> torch.allclose(torch.from_numpy(cae.transform(X)), module.encoder(X))
    True
    """
    if not hasattr(type(estimator), "_weights_of_layers"):
        raise TypeError(
            f"A {type(estimator).__name__} does not take the weights of a module."
        )
    encoding = layers_of(part_of(module, "encoder"), "encoder")
    name = second_part(estimator)
    decoding = layers_of(part_of(module, name), name)
    tensors = estimator._weights_of_layers(encoding, decoding)
    weights = {name: array_of(tensor) for name, tensor in tensors.items()}
    # On a copy, so that the estimator stays what it is if the module is another kind.
    layers, outputs = parts_of(set_weights(copy(estimator), weights))
    expected = [activation_name(layer) for layer in layers]
    expected += [output_of(part) for part in outputs]
    found = [activation_name(layer) for layer in (*encoding, *decoding)]
    if found != expected:
        raise ValueError(
            f"The layers of the module have the activations {', '.join(found)}, but "
            f"those of this {type(estimator).__name__} have {', '.join(expected)}: "
            "see its activation and loss."
        )
    return set_weights(estimator, weights)


def mirrored_weights(encoder: list[nn.Module]) -> Iterator[nn.Parameter]:
    """Go through the weights of an encoder, from the code down."""
    affine = nn.Linear, nn.Conv2d
    for part in reversed([part for module in encoder for part in module.modules()]):
        if isinstance(part, affine):
            yield cast(nn.Parameter, part.weight)


def parts_of(estimator: Any) -> tuple[list[Any], list[DecodingLayer]]:
    """Return the layers that encode, and those that follow."""
    if is_network(estimator):
        *hidden, last = estimator._network_layers()
        return hidden, [DecodingLayer(last, "squared_error")]
    return estimator._encoding_layers(), estimator._decoding_layers()


def is_network(estimator: Any) -> bool:
    """Tell whether an estimator is a network that does not decode."""
    return hasattr(type(estimator), "_network_layers")


def second_part(estimator: Any) -> str:
    """Return the name of what follows the encoder."""
    return "output" if is_network(estimator) else "decoder"


def output_of(part: DecodingLayer) -> str:
    """Return the name of a decoding layer's activation, or its loss's output."""
    return activation_name(part.layer) if part.loss is None else OUTPUTS[part.loss]


def part_of(module: nn.Module, name: str) -> nn.Module:
    """Return a part of a module by its name.

    Raises
    ------
    TypeError
        If there is none.
    """
    part = getattr(module, name, None)
    if not isinstance(part, nn.Module):
        raise TypeError(
            f"The module must have a part {name!r}, itself a module. A "
            f"{type(module).__name__} has {part!r} there."
        )
    return part
