"""One training step's value and gradient, taken out of the training loop."""

import torch

from skcae._core.steps.workspace import Workspace


def value_and_gradient(
    objective,
    parameters,
    X,
    weights=None,
    *,
    target=None,
    copies=None,
    batch_size=None,
):
    """Return the batch objective and its gradient as dense tensors."""
    (n, d), coder = X.shape, objective.coder(parameters)
    workspace = Workspace(
        batch_size or n,
        d,
        coder.encoder.n_units,
        objective.n_scratch,
        n_penalties=len(objective.penalties),
        corrupts=target is not None,
        n_copies=objective.n_copies,
        dtype=X.dtype,
        device=X.device,
    )
    batch = workspace.batch(n)
    with torch.no_grad():
        batch.X.copy_(X)
        if target is not None:
            batch.target.copy_(target)
        if copies is not None:
            batch.copies.copy_(copies)
        squared_rows = coder.encoder.squared_norms()
        objective.forward(coder, batch)
        loss = objective.total_loss(batch, weights)
        objective.backward(coder, squared_rows, batch, weights)
        if objective.penalties:
            loss = loss + objective.total_penalty(squared_rows, batch)
        value = loss / n
        dense = {name: torch.zeros_like(p) for name, p in parameters.items()}
        objective.gradient(coder, batch).add_to(dense, parameters)
    return value, dense
