"""Fitted encoders of every kind, with what they are made of."""

import torch
from sklearn.frozen import FrozenEstimator
from sklearn.neural_network import BernoulliRBM
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch.func import jacrev, vmap

from skcae import (
    Autoencoder,
    ContractiveAutoencoder,
    DeepCAE,
    DenoisingAutoencoder,
    StackedCAE,
)
from tests import oracles

HOW = {"max_iter": 12, "tol": 0.5, "random_state": 0}


def stack(sizes, activation="sigmoid", **how):
    return StackedCAE(sizes, activation=activation, **HOW, **how)


# For data of 8 columns: fewer units, as many, more, and bottlenecks of all kinds.
MAKERS = {
    "narrow": lambda: ContractiveAutoencoder(5, **HOW),
    "square": lambda: ContractiveAutoencoder(8, activation="tanh", **HOW),
    "wide": lambda: Autoencoder(11, activation="softplus", **HOW),
    "elu": lambda: ContractiveAutoencoder(6, activation="elu", **HOW),
    "denoising": lambda: DenoisingAutoencoder(6, **HOW),
    "untied": lambda: Autoencoder(6, tied_weights=False, **HOW),
    "linear": lambda: Autoencoder(5, activation="identity", **HOW),
    "rbm": lambda: BernoulliRBM(6, n_iter=3, random_state=0),
    "stack": lambda: stack((9, 6)),
    "bottleneck": lambda: stack((3, 10), "tanh"),
    "deep": lambda: DeepCAE((9, 6), activation="tanh", **HOW),
    "deep bottleneck": lambda: DeepCAE((3, 10), **HOW),
    "three layers": lambda: stack((6, 3, 7), "tanh", bias_spread=0),
    # Its codes reach so little that a λ of .1 would be too large for them.
    "rbm and cae": lambda: make_pipeline(
        BernoulliRBM(6, n_iter=3, random_state=0),
        ContractiveAutoencoder(4, jacobian_penalty=1e-5, **HOW),
    ),
    "scaler and cae": lambda: make_pipeline(
        StandardScaler(), ContractiveAutoencoder(5, **HOW)
    ),
    "frozen": lambda: FrozenEstimator(ContractiveAutoencoder(5, **HOW)),
}
KINDS = sorted(MAKERS)


def fitted(kind, X):
    """Return an encoder, its layers with their activations, and their input."""
    encoder = MAKERS[kind]()
    if kind == "frozen":
        encoder.estimator.fit(X)
        encoder = FrozenEstimator(encoder.estimator)
    else:
        encoder.fit(X)
    models = models_of(encoder)
    own = [model for model in models if hasattr(model, "loss") or is_rbm(model)]
    for step in models[: len(models) - len(own)]:
        X = step.transform(X)
    layers = layers_of(*own)
    first = getattr(own[0], "activation", "sigmoid")
    last = getattr(own[-1], "activation", "sigmoid")
    names = [first, *[last] * (len(layers) - 1)]
    return encoder, (layers, names), X


def is_rbm(model):
    return isinstance(model, BernoulliRBM)


def models_of(encoder):
    if isinstance(encoder, FrozenEstimator):
        return [encoder.estimator]
    if isinstance(encoder, StackedCAE):
        return encoder.estimators_
    return [step for _, step in getattr(encoder, "steps", [("", encoder)])]


def layers_of(*models):
    layers = []
    for model in models:
        if isinstance(model, DeepCAE):
            parameters = model.parameters_
            layers += [
                (parameters[f"encoder.{k}.weight"], parameters[f"encoder.{k}.bias"])
                for k in range(len(model.hidden_layer_sizes))
            ]
        else:
            layers.append((model.components_, model.intercept_hidden_))
    return layers


def encoding(layers, activations):
    """The code of one sample, in plain torch."""

    def encode(x):
        for (W, b), activation in zip(layers, activations, strict=True):
            a = torch.as_tensor(W) @ x + torch.as_tensor(b)
            x = oracles.ACTIVATIONS[activation](a)
        return x

    return encode


def dense_jacobians(layers, activations, X):
    """J of each row by automatic differentiation of the whole encoder."""
    return vmap(jacrev(encoding(layers, activations)))(torch.from_numpy(X))
