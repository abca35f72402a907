"""Naive transcriptions of the formulas: slow, obvious, and the tests' only authority.

Nothing here calls the library's own formulas; activations come from torch.
"""

import torch
from torch.func import hessian, jacrev, vmap
from torch.nn import functional

ACTIVATIONS = {
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "relu": torch.relu,
    "softplus": lambda a: torch.logaddexp(a, torch.zeros_like(a)),
    "elu": functional.elu,
    "identity": lambda a: a,
}


def encode(parameters, x, activation):
    a = parameters["components"] @ x + parameters["intercept_hidden"]
    return ACTIVATIONS[activation](a)


def decode_logits(parameters, h):
    V = parameters.get("decoder_components", parameters["components"])
    return V.T @ h + parameters["intercept_visible"]


def reconstruction_loss(x, z, loss):
    """L(x, z), with the cross-entropy as the paper writes it."""
    if loss == "squared_error":
        return sum((z[k] - x[k]) ** 2 for k in range(len(x)))
    y = torch.sigmoid(z)
    return -sum(
        x[k] * torch.log(y[k]) + (1 - x[k]) * torch.log(1 - y[k]) for k in range(len(x))
    )


def jacobian(parameters, X, activation):
    """The dense Jacobian of each sample, (n, h, d), by automatic differentiation."""
    return vmap(jacrev(lambda x: encode(parameters, x, activation)))(X)


def hessian_tensor(parameters, X, activation):
    """The dense second derivative of each sample, (n, h, d, d)."""
    return vmap(hessian(lambda x: encode(parameters, x, activation)))(X)


def squared_jacobian_norm(parameters, X, activation):
    return jacobian(parameters, X, activation).square().sum((1, 2))


def squared_hessian_norm(parameters, X, activation):
    return hessian_tensor(parameters, X, activation).square().sum((1, 2, 3))


def sampled_hessian_norm(parameters, X, copies, activation, noise):
    """The mean over noisy copies of ‖J(x̃) − J(x)‖²_F / σ²; copies are (S, n, d)."""
    J = jacobian(parameters, X, activation)
    moved = [jacobian(parameters, copy, activation) for copy in copies]
    squared = torch.stack([(other - J).square().sum((1, 2)) for other in moved])
    return squared.mean(0) / noise**2


def sigmoid_penalty_loops(parameters, x):
    """‖J_f(x)‖²_F = Σ_ij (h_j (1 − h_j) W_ji)², as the paper sums it."""
    h = encode(parameters, x, "sigmoid")
    W = parameters["components"]
    total = 0.0
    for j in range(W.shape[0]):
        for i in range(W.shape[1]):
            total += (h[j] * (1 - h[j]) * W[j, i]) ** 2
    return total


def objective(
    parameters,
    X,
    weights,
    *,
    activation,
    loss,
    jacobian_penalty,
    hessian_penalty,
    copies=None,
    noise=None,
):
    """The batch objective, sample by sample; the Hessian is sampled from copies."""
    total = 0.0
    jacobian_norms = squared_jacobian_norm(parameters, X, activation)
    if copies is None:
        hessian_norms = squared_hessian_norm(parameters, X, activation)
    else:
        hessian_norms = sampled_hessian_norm(parameters, X, copies, activation, noise)
    for i, x in enumerate(X):
        z = decode_logits(parameters, encode(parameters, x, activation))
        value = reconstruction_loss(x, z, loss)
        value = value + jacobian_penalty * jacobian_norms[i]
        value = value + hessian_penalty * hessian_norms[i]
        total = total + weights[i] * value
    return total / len(X)


def fast_objective(
    parameters,
    X,
    weights,
    *,
    activation,
    loss,
    jacobian_penalty,
    hessian_penalty,
    weight_decay=0.0,
    target=None,
):
    """The same objective with φ', φ'' by autograd: for trajectories of many steps.

    With a target, X is a corrupted copy of it.
    """
    target = X if target is None else target
    W = parameters["components"]
    a = X @ W.T + parameters["intercept_hidden"]
    if not a.requires_grad:
        a = a.requires_grad_()
    h = ACTIVATIONS[activation](a)
    (first,) = torch.autograd.grad(h.sum(), a, create_graph=True)
    value = jacobian_penalty * (first**2 * (W**2).sum(1)).sum(1)
    if hessian_penalty:
        (second,) = torch.autograd.grad(first.sum(), a, create_graph=True)
        value = value + hessian_penalty * (second**2 * (W**2).sum(1) ** 2).sum(1)
    value = value + weight_decay * (W**2).sum()
    z = h @ parameters.get("decoder_components", W) + parameters["intercept_visible"]
    if loss == "squared_error":
        value = value + ((z - target) ** 2).sum(1)
    else:
        y = torch.sigmoid(z)
        value = value - (target * y.log() + (1 - target) * (1 - y).log()).sum(1)
    return (weights * value).sum() / len(X)
