"""Attacks: rows near given ones that a classifier gets wrong, and how they are found.

A classifier is here a function from rows (n, d) to a score for each class, (n, k), and
an attack lowers the margin of each row, s_y − max over other k of s_k. Where that is
below 0, the row is misclassified.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Scores = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Ball:
    """What is within a distance of rows, and between two values.

    Parameters
    ----------
    radius : float
        The distance.
    norm : {"l2", "linf"}
        How it is measured.
    low, high : float
        Between which entries stay, if rows themselves do.
    """

    radius: float
    norm: str = "l2"
    low: float = -torch.inf
    high: float = torch.inf

    def project(self, X: Tensor, near: Tensor) -> Tensor:
        """Return the changes of rows X, moved into the ball about `near`.

        The ball first: what is between the values comes no farther by being cut.
        """
        D = X - near
        if self.norm == "linf":
            D = D.clamp(-self.radius, self.radius)
        else:
            D = D * (self.radius / lengths(D)).clamp(max=1)
        return (near + D).clamp(self.low, self.high)

    def steepest(self, G: Tensor) -> Tensor:
        """Return the step within the ball along which what has gradients G falls most.

        −r g/‖g‖ or −r sign(g); nothing where g is 0.
        """
        if self.norm == "linf":
            return -self.radius * G.sign()
        return -self.radius * G / lengths(G)

    def draw(self, X: Tensor, generator: torch.Generator) -> Tensor:
        """Return a random row on the edge of each ball."""
        noise = torch.randn(X.shape, generator=generator, dtype=X.dtype)
        return self.project(X + self.steepest(noise), X)


def lengths(D: Tensor) -> Tensor:
    """Return ‖d‖ of each row, (n, 1), and a little where that is 0."""
    return D.norm(dim=1, keepdim=True).clamp(min=torch.finfo(D.dtype).tiny)


def margins(scores: Tensor, y: Tensor) -> Tensor:
    """Return s_y − max of the others, (n,)."""
    own = scores.gather(1, y[:, None])
    others = scores.scatter(1, y[:, None], -torch.inf)
    return own[:, 0] - others.amax(1)


class Found:
    """The rows of least margin that an attack has seen, the given ones at first."""

    def __init__(self, scores: Scores, X: Tensor, y: Tensor) -> None:
        self.scores, self.y = scores, y
        self.X, self.margins = X.clone(), margins(scores(X), y)

    def offer(self, X: Tensor) -> None:
        """Keep each of these rows that is better."""
        found = margins(self.scores(X), self.y)
        better = found < self.margins
        self.X[better], self.margins[better] = X[better], found[better]


def with_gradients(
    scores: Scores,
    X: Tensor,
    y: Tensor,
    ball: Ball,
    generator: torch.Generator,
    *,
    n_restarts: int = 5,
    n_steps: int = 20,
) -> Tensor:
    """Descend s_y − s_k by projected gradients, and return the rows of least margin.

    The restarts aim at the classes k in turn, from the one that comes nearest on: the
    margin is a minimum over classes, and its own gradient leads to a local one. The
    first starts at the rows, the others at random on the edge; steps fall from the
    radius to none.

    References
    ----------
    Madry, Makelov, Schmidt, Tsipras and Vladu, "Towards deep learning models resistant
    to adversarial attacks", ICLR 2018; targets in turn as in Gowal, Uesato, Qin, Huang,
    Mann and Kohli, "An alternative surrogate loss for PGD-based adversarial testing",
    2019.
    """
    with torch.no_grad():
        found = Found(scores, X, y)
        others = scores(X).scatter(1, y[:, None], -torch.inf)
        order = others.argsort(1, descending=True)[:, :-1]  # the last is y itself
    for restart in range(n_restarts):
        pair = torch.stack([y, order[:, restart % order.shape[1]]], 1)
        at = ball.draw(X, generator) if restart else X
        for step in range(n_steps):
            at = at.detach().requires_grad_()
            own, other = scores(at).gather(1, pair).T
            (G,) = torch.autograd.grad((own - other).sum(), at)
            with torch.no_grad():
                part = 1 - step / n_steps
                at = ball.project(at + part * ball.steepest(G), X)
                found.offer(at)
    return found.X


@torch.no_grad()
def without_gradients(
    scores: Scores,
    X: Tensor,
    y: Tensor,
    ball: Ball,
    directions: Tensor,
    *,
    n_passes: int = 4,
) -> Tensor:
    """Try steps both ways along each direction, and return the rows of least margin.

    A step that lowers the margin is kept. The first pass over the directions (m, d),
    of length 1, takes steps as long as the radius, which leave where a unit is
    saturated, and each pass after it half of those before. It asks for scores alone,
    2 m times in a pass.

    References
    ----------
    Guo, Gardner, You, Wilson and Weinberger, "Simple black-box adversarial attacks",
    ICML 2019, with more than one pass.
    """
    found = Found(scores, X, y)
    for k in range(n_passes):
        for direction in directions:
            before = found.X.clone()
            for sign in (1, -1):
                step = sign * ball.radius / 2**k * direction
                found.offer(ball.project(before + step, X))
    return found.X
