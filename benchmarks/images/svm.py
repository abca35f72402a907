"""A linear SVM for many features of many rows, in the memory of the rows alone.

One against all others, with squared hinge losses: ½ ‖w‖² + C mean max(0, 1 − y f)² for
each class, as in the demonstration of Coates, Ng and Lee (2011), where C is 100. It is
minimised by L-BFGS. The intercept is not weighed. Columns are standardised by the
training rows as they are read. That C is of a mean lets it be chosen on fewer rows.
"""

import numpy as np
import torch
from scipy.optimize import minimize

# What is added to the variance of a column, as in the authors' demonstration.
FLOOR = 0.01
CHUNK = 4096


class LinearSVM:
    """Fits on rows of float32, and predicts classes 0, 1, … ."""

    def __init__(self, C, max_iter=200):
        self.C = C
        self.max_iter = max_iter

    def fit(self, X, y):
        """Minimise the objective."""
        self.mean = X.mean(0, dtype=np.float64).astype(np.float32)
        self.scale = (1 / np.sqrt(X.var(0, dtype=np.float64) + FLOOR)).astype("f4")
        shape = (X.shape[1] + 1, int(y.max()) + 1)
        targets = torch.where(torch.eye(shape[1])[y.tolist()] > 0, 1.0, -1.0)
        found = minimize(
            self._objective,
            np.zeros(shape).ravel(),
            args=(X, targets, shape),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": self.max_iter, "maxcor": 10},
        )
        self.weights = found.x.reshape(shape).astype(np.float32)
        return self

    def _objective(self, w, X, targets, shape):
        W = torch.from_numpy(w.reshape(shape).astype(np.float32))
        value, gradient = 0.0, torch.zeros_like(W)
        for start in range(0, len(X), CHUNK):
            Z = self._rows(X[start : start + CHUNK])
            t = targets[start : start + CHUNK]
            margin = (1 - t * (Z @ W[:-1] + W[-1])).clamp(min=0)
            value += float(margin.double().square().sum())
            # The derivative of Σ max(0, 1 − t f)² with respect to f.
            slope = -2 * t * margin
            gradient[:-1] += Z.mT @ slope
            gradient[-1] += slope.sum(0)
        gradient *= self.C / len(X)
        gradient[:-1] += W[:-1]
        value = 0.5 * float(W[:-1].double().square().sum()) + self.C / len(X) * value
        return value, gradient.double().numpy().ravel()

    def _rows(self, X):
        return torch.from_numpy((X - self.mean) * self.scale)

    def error(self, X, y):
        """Return the share of rows that are classified wrong."""
        W = torch.from_numpy(self.weights)
        wrong = 0
        for start in range(0, len(X), CHUNK):
            scores = self._rows(X[start : start + CHUNK]) @ W[:-1] + W[-1]
            wrong += int((scores.argmax(1).numpy() != y[start : start + CHUNK]).sum())
        return wrong / len(X)
