"""
Training with wrong penalties
=============================

:doc:`/mistakes` lists penalties that look like the contractive one and are not. Here a
layer is trained with several of them by automatic differentiation, and what that does
to the exact Jacobian is measured after each epoch.
"""

# %%
# The penalties
# -------------
# Each takes the layer's weights and a batch, and gives the mean over the rows of what
# is meant to be ‖J‖².

import matplotlib.pyplot as plt
import torch
from sklearn.datasets import load_digits
from torch.nn.functional import binary_cross_entropy_with_logits

X = torch.from_numpy(load_digits().data / 16)


def encode(W, b, X):
    """Give the codes."""
    return torch.sigmoid(X @ W.T + b)


def exact(W, b, X, first):
    """Compute Σ_j (h_j (1 − h_j))² ‖W_j‖²."""
    h = encode(W, b, X)
    return ((h * (1 - h)).square() @ W.square().sum(1)).mean()


def detached(W, b, X, first):
    """Let the gradient reach the weights only through the codes."""
    h = encode(W, b, X)
    return ((h * (1 - h)).square() @ W.detach().square().sum(1)).mean()


def frozen(W, b, X, first):
    """Take the norms of the first weights."""
    h = encode(W, b, X)
    return ((h * (1 - h)).square() @ first.square().sum(1)).mean()


def of_the_sum(W, b, X, first):
    """Square the gradient of Σ_j h_j."""
    h = encode(W, b, X)
    return ((h * (1 - h)) @ W).square().sum(1).mean()


def of_the_mean(W, b, X, first):
    """Square the Jacobian of the mean code of the batch."""
    h = encode(W, b, X)
    return ((h * (1 - h) / len(X)) @ W).mean(0).square().sum()


# %%
# Training
# --------
# A tied sigmoid layer of 32 units, cross-entropy, Adam, the same first weights and
# order of rows for all, λ = 1.


def train(penalty, n_epochs=40, strength=1.0):
    """Give the exact mean ‖J‖² after each epoch, and the final loss."""
    generator = torch.Generator().manual_seed(0)
    W = 0.1 * torch.randn((32, 64), generator=generator, dtype=X.dtype)
    b, c = torch.zeros(32, dtype=X.dtype), torch.zeros(64, dtype=X.dtype)
    first = W.clone()
    parameters = [p.requires_grad_() for p in (W, b, c)]
    adam = torch.optim.Adam(parameters, lr=0.01)
    norms = []
    for _ in range(n_epochs):
        for rows in torch.randperm(len(X), generator=generator).split(100):
            batch = X[rows]
            logits = encode(W, b, batch) @ W + c
            loss = binary_cross_entropy_with_logits(logits, batch, reduction="sum")
            adam.zero_grad()
            value = loss / len(batch)
            if penalty is not None:
                value = value + strength * penalty(W, b, batch, first)
            value.backward()
            adam.step()
        norms.append(exact(W, b, X, first).item())
    logits = encode(W, b, X) @ W + c
    loss = binary_cross_entropy_with_logits(logits, X, reduction="sum") / len(X)
    return norms, loss.item()


penalties = {
    "none": None,
    "of the batch mean": of_the_mean,
    "frozen weights": frozen,
    "of the sum of units": of_the_sum,
    "detached weights": detached,
    "exact": exact,
}
curves = {}
for name, penalty in penalties.items():
    curves[name], loss = train(penalty)
    print(f"{name:20} mean ‖J‖² {curves[name][-1]:5.2f}, loss {loss:.2f} nats")

# %%
# Two of them do next to nothing, and one about half of what is asked. The detached one
# comes close on this data: it has lost one of two paths of the gradient, and the other
# alone contracts by saturating the units.

styles = [":", "--", "-.", "s-", "^-", "o-"]
colors = ["black", "black", "black", "tab:orange", "tab:gray", "tab:blue"]
fig, ax = plt.subplots(figsize=(7.5, 4.4), layout="constrained")
for (name, norms), style, color in zip(curves.items(), styles, colors, strict=True):
    ax.semilogy(range(1, 41), norms, style, color=color, label=name, markevery=5)
ax.set(xlabel="epoch", ylabel="exact mean ‖J‖²")
ax.legend(title="penalty", loc="center left", bbox_to_anchor=(1, 0.5))
plt.show()
