"""Classifiers on codes as modules of torch, from rows to a score for each class."""

import numpy as np
import torch
from sklearn.frozen import FrozenEstimator
from sklearn.svm import LinearSVC
from torch import nn

from skcae import FineTunedClassifier
from skcae.functional import to_module

STRENGTHS_OF_SVM, RATES = (1, 10, 100), (0.1, 1.0, 3.0)


def error(scores, X, y):
    """Return the error of a classifier in %."""
    with torch.no_grad():
        found = scores(torch.as_tensor(X)).argmax(1).numpy()
    return 100 * np.mean(found != y)


def linear(W, b):
    """Make the map W x + b."""
    layer = nn.Linear(W.shape[1], len(W), dtype=torch.float64)
    layer.weight.data, layer.bias.data = torch.as_tensor(W), torch.as_tensor(b)
    return layer


def module_of(encoder):
    """Return what gives the codes of rows as a tensor: f(x), (n, d) → (n, units)."""
    if encoder is None:
        return nn.Identity()
    if not hasattr(encoder, "steps"):
        return to_module(encoder).encoder
    scaler, machine = encoder.named_steps.values()
    d = machine.n_features_in_
    scale, shift = getattr(scaler, "scale_", np.ones(d)), getattr(scaler, "min_", 0)
    W = machine.components_ * scale
    b = machine.intercept_hidden_ + machine.components_ @ (shift * np.ones(d))
    return nn.Sequential(linear(W, b), nn.Sigmoid())


def svms_on(encoder, X, y):
    """Give linear SVMs on the codes, centred and of variance 1 in sum."""
    features = module_of(encoder)
    with torch.no_grad():
        H = features(torch.as_tensor(X)).numpy()
    mean, scale = H.mean(0), np.sqrt(H.var(0).sum())
    for strength in STRENGTHS_OF_SVM:
        svm = LinearSVC(C=strength).fit((H - mean) / scale, y)
        W, b = svm.coef_ / scale, svm.intercept_
        if len(W) == 1:
            W, b = np.concatenate([-W, W]), np.concatenate([-b, b])
        yield nn.Sequential(features, linear(W, b - W @ mean))


def networks_on(encoder, X, y, seed, **how):
    """Give networks that are fine-tuned from the encoder."""
    for rate in RATES:
        network = FineTunedClassifier(
            FrozenEstimator(encoder), learning_rate=rate, random_state=seed, **how
        ).fit(X, y)
        scores = to_module(network)
        if len(network.classes_) == 2:
            both = linear(np.array([[-1.0], [1.0]]), np.zeros(2))
            scores = nn.Sequential(scores, both)
        yield scores
