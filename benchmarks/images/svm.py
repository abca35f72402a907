"""A linear SVM for many features of many rows, in the memory of the rows alone.

One against all others, with squared hinge losses: ½ ‖w‖² + C mean max(0, 1 − y f)² for
each class, as in the demonstration of Coates, Ng and Lee (2011), where C is 100. It is
minimised by L-BFGS. The intercept is not weighed. Columns are standardised by the
training rows. That C is of a mean lets it be chosen on fewer rows.
"""

import numpy as np
import torch
from scipy.optimize import minimize

# What is added to the variance of a column, as in the authors' demonstration.
FLOOR = 0.01
CHUNK = 4096


class LinearSVM:
    """Fits on rows of float32, and predicts classes 0, 1, … .

    Parameters
    ----------
    C : float
        The weight of the mean loss.
    max_iter : int
        At most so many iterations.
    """

    def __init__(self, C, max_iter=200):
        self.C = C
        self.max_iter = max_iter

    def fit(self, Z, y, start=None):
        """Minimise the objective on standardised rows, from the weights of another."""
        Z = torch.from_numpy(Z)
        shape = (int(y.max()) + 1, Z.shape[1] + 1)
        targets = torch.where(torch.eye(shape[0])[y.tolist()] > 0, 1.0, -1.0)
        W = np.zeros(shape) if start is None else start.weights
        found = minimize(
            self._objective,
            W.ravel(),
            args=(Z, targets, shape),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": self.max_iter, "maxcor": 10},
        )
        self.weights = found.x.reshape(shape)
        return self

    def _objective(self, w, Z, targets, shape):
        W, b = divided(w.reshape(shape))
        value, gradient = 0.0, torch.zeros(shape)
        for rows, t in zip(Z.split(CHUNK), targets.split(CHUNK), strict=True):
            margin = (1 - t * scores(rows, W, b)).clamp(min=0)
            value += float(margin.double().square().sum())
            # The derivative of Σ max(0, 1 − t f)² with respect to f.
            slope = (-2 * t * margin).mT.contiguous()
            gradient[:, :-1] += slope @ rows
            gradient[:, -1] += slope.sum(1)
        gradient *= self.C / len(Z)
        gradient[:, :-1] += W
        value = 0.5 * float(W.double().square().sum()) + self.C / len(Z) * value
        return value, gradient.double().numpy().ravel()

    def error(self, Z, y):
        """Return the share of standardised rows that are classified wrong."""
        W, b = divided(self.weights)
        found = [
            scores(rows, W, b).argmax(1) for rows in torch.from_numpy(Z).split(CHUNK)
        ]
        return float((torch.cat(found).numpy() != y).mean())


def divided(weights):
    """Return the weights and the intercept of each class, in float32."""
    W = torch.from_numpy(weights.astype(np.float32))
    return W[:, :-1], W[:, -1]


def scores(rows, W, b):
    """Return f of each row and class: so laid out, the product is the fastest."""
    return (W @ rows.mT).mT + b


def standardise(X, *others):
    """Standardise columns by the rows of X, where they are."""
    mean = X.mean(0, dtype=np.float64).astype(np.float32)
    scale = (1 / np.sqrt(X.var(0, dtype=np.float64) + FLOOR)).astype(np.float32)
    for rows in (X, *others):
        for start in range(0, len(rows), CHUNK):
            part = rows[start : start + CHUNK]
            part -= mean
            part *= scale
