"""What becomes of an encoder as its contraction grows."""

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from sklearn.utils._optional_dependencies import check_matplotlib_support

from skcae._encoders.containers import computed
from skcae._estimators.documentation import documented
from skcae.inspection._penalty_path import (
    check_penalties,
    default_penalties,
    name_of_penalty,
    penalty_max_of,
    penalty_path,
)
from skcae.inspection._plot._axes import axes_for, draw_curve, spelled_out

# What is drawn, from the top down, and what is written above it.
TITLES = {
    "score": "score in the task",
    "reconstruction_loss": "reconstruction loss",
    "penalty_share": "contraction's share of the objective",
    "jacobian_norm": "mean ‖J‖",
    "saturation": "saturated units",
    "live_units": "live units",
}
# What goes on from 0; the others are seen by how they change.
FROM_ZERO = ("penalty_share", "jacobian_norm", "saturation", "live_units")
# In inches: the width, and the height of a panel and its title, and of the labels.
WIDTH, PANEL, LABELS = 4.8, 1.25, 0.4
# And of the title, which leaves half of a panel at least.
TITLE = 0.32
MOST_TICKS = 8


@documented
class PenaltyPathDisplay:
    r"""Paths of λ: what becomes of an encoder as its contraction grows.

    One panel for each measure, all above the same axis of λ. It is made by
    `from_estimator`.

    Parameters
    ----------
    penalties : ndarray of shape (n_penalties,)
        The values of λ, in rising order.

    measures : dict of ndarray of shape (n_penalties, n_splits)
        What was measured on the held-out rows of each split, from "score",
        "reconstruction_loss", "penalty_share", "jacobian_norm", "saturation" and
        "live_units".

    penalty_max : float, default=None
        The λ above which its code collapses, λ_max, if the encoder has one.

    Attributes
    ----------
    %(axes)s

    axes_ : list of matplotlib Axes
        The panels, which lie in `ax_` from the top down.

    lines_ : list of matplotlib Line2D
        The curve of each.

    See Also
    --------
    skcae.model_selection.jacobian_penalty_max : The λ above which a code collapses.
    skcae.model_selection.jacobian_penalty_grid : A grid for a search.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skcae import ContractiveAutoencoder
    >>> from skcae.inspection import PenaltyPathDisplay
    >>> X, y = load_digits(return_X_y=True)
    >>> cae = ContractiveAutoencoder(
    ...     32, loss="cross_entropy", max_iter=20, tol=0.1, random_state=0
    ... )
    >>> display = PenaltyPathDisplay.from_estimator(
    ...     cae, X / 16, y, penalties=[0, 0.01, 0.1, 1]
    ... )
    >>> losses = display.measures["reconstruction_loss"].mean(axis=1)
    >>> bool((losses[1:] > losses[:-1]).all())
    True
    """

    def __init__(
        self,
        penalties: np.ndarray,
        measures: Mapping[str, np.ndarray],
        *,
        penalty_max: float | None = None,
    ) -> None:
        self.penalties = penalties
        self.measures = measures
        self.penalty_max = penalty_max

    @classmethod
    @documented
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any = None,
        *,
        penalties: Any = None,
        judge: Any = None,
        scoring: Any = None,
        cv: Any = None,
        n_jobs: int | None = None,
        ax: Any = None,
        **plot_parameters: Any,
    ) -> Self:
        """Fit an encoder with each λ, measure it on other rows, and draw the path.

        Measured are, as means over the rows that were held out,

        - the score of a task that gets the codes, if there is `y`;
        - the reconstruction loss L, summed over features;
        - what part of L + λ‖J‖² the second is;
        - the Frobenius norm of the Jacobian J, as `jacobian_norm` gives it;
        - the part of the units that are saturated, as `saturation` gives it, if they
          have an activation;
        - the part of the units that are live: their standard deviation over the rows
          is .01 or more.

        Parameters
        ----------
        estimator : estimator
            An autoencoder with a `jacobian_penalty`, or a `Pipeline` that ends with
            one. It is cloned, and need not be fitted.

        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The data, of which a part is held out.

        y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            What the codes are to tell.

        penalties : array-like of shape (n_penalties,), default=None
            The values of λ. By default 0 and seven from a thousandth of a scale up to
            it. That is λ_max of one layer, dense or a convolution without pooling, with
            tied weights. For others it is the λ with which λ‖J‖² is as large as L in a
            fit with λ = 0, which is then done on all rows.

        judge : estimator, default=None
            What learns y from codes. By default a `RidgeCV` if y are floats, and a
            `RidgeClassifierCV` if they are anything else. What has a strength should
            find it by itself: codes of a larger λ are closer to each other.

        scoring : str or callable, default=None
            How the judge is scored, by default by its own `score`.

        cv : int, splitter or iterable, default=None
            What is held out. By default a random quarter of the rows, once. All that
            scikit-learn's searches take is possible; lines are then means over the
            splits, and one standard deviation about them is shaded.

        n_jobs : int, default=None
            How many fits run at the same time; None is one.

        %(ax)s

        %(plot parameters)s

        Returns
        -------
        display : PenaltyPathDisplay
            With the picture drawn.

        Raises
        ------
        TypeError
            If the estimator has no `jacobian_penalty`, or one for each of its layers.
        ValueError
            If λ is none, or data, target or splits are not usable.
        """
        check_matplotlib_support(cls.__name__)
        name_of_penalty(estimator)
        if penalties is not None:
            penalties = check_penalties(penalties)
        X = computed(X)
        if penalties is None:
            largest = penalty_max_of(estimator, X, y)
            penalties = default_penalties(estimator, X, y, largest)
        else:
            try:
                largest = penalty_max_of(estimator, X, y)
            except ValueError:  # constant rows have none
                largest = None
        measures = penalty_path(
            estimator,
            X,
            y,
            penalties,
            judge=judge,
            scoring=scoring,
            cv=cv,
            n_jobs=n_jobs,
        )
        display = cls(penalties, measures, penalty_max=largest)
        return display.plot(ax=ax, **plot_parameters)

    @documented
    def plot(self, *, ax: Any = None, line_kw: Mapping[str, Any] | None = None) -> Self:
        """Draw the path, and λ_max as a vertical line.

        λ is drawn to the logarithm from the smallest value above 0 on, and to scale
        below it, so that 0 has its place.

        Parameters
        ----------
        %(ax)s

        %(line_kw)s

        Returns
        -------
        display : PenaltyPathDisplay
            Itself.
        """
        names = [name for name in TITLES if name in self.measures]
        height = PANEL * len(names) + LABELS
        ax = axes_for(self, ax, figsize=(WIDTH, height))
        self.axes_, self.lines_ = panels_of(ax, len(names)), []
        for panel, name in zip(self.axes_, names, strict=True):
            # Splits are the axis 1.
            values = np.asarray(self.measures[name])
            mean, std = values.mean(axis=1), values.std(axis=1)
            style = {"marker": "o", "markersize": 4, **spelled_out(line_kw)}
            if values.shape[1] > 1:
                style["band"] = mean - std, mean + std
            self.lines_.append(draw_curve(panel, 0, self.penalties, mean, **style))
            panel.set_title(TITLES[name], loc="left", fontsize="medium")
            if name in FROM_ZERO:
                panel.update_datalim([(0, 0)])
                panel.autoscale_view()
            if self.penalty_max is not None:
                panel.axvline(self.penalty_max, color="0.6", linestyle="--", zorder=0)
        self._scale(self.axes_[-1])
        if self.penalty_max is not None:
            mark(self.axes_[0], self.penalty_max)
        return self

    def _scale(self, panel: Any) -> None:
        """Show 0 and the logarithm of what is above on the axis that all share."""
        above = self.penalties[self.penalties > 0]
        smallest, largest = (above[0], above[-1]) if len(above) else (1.0, 1.0)
        largest = max(largest, self.penalty_max or 0)
        # The wider the rest, the wider is the part from 0 to the smallest.
        width = max(0.5, np.log10(largest / smallest) / 10)
        panel.set_xscale("symlog", linthresh=smallest, linscale=width)
        panel.set_xlim(-0.2 * smallest, 1.5 * largest)
        ticks = [0, *round_between(smallest, largest)]
        panel.set_xticks(ticks, [spelled(tick) for tick in ticks])
        panel.minorticks_off()
        panel.set_xlabel("λ")


def round_between(low: float, high: float) -> np.ndarray:
    """Return powers of ten from one number to another, evenly, or those two."""
    powers = 10.0 ** np.arange(np.ceil(np.log10(low)), np.log10(high) + 1e-9)
    if len(powers) < 2:
        return np.unique([low, high])
    return powers[:: -(-len(powers) // MOST_TICKS)]


def spelled(tick: float) -> str:
    """Write a number as briefly as it can be read."""
    text = f"{tick:.2g}" if tick < 10 else f"{tick:.4g}"
    number, exponential, power = text.partition("e")
    if not exponential:
        return text
    factor = "" if number == "1" else rf"{number} \cdot "
    return f"${factor}10^{{{int(power)}}}$"


def panels_of(ax: Any, n: int) -> list[Any]:
    """Return n axes one below the other in the place of one, above the same axis."""
    ax.set_axis_off()
    panel = ax.get_window_extent().height / ax.figure.dpi / n
    curve = max(0.5, 1 - TITLE / panel)
    places = [(0, 1 - (k + 1) / n, 1, curve / n) for k in range(n)]
    *others, last = panels = [ax.inset_axes(place) for place in places]
    for panel in others:
        panel.sharex(last)
        panel.tick_params(labelbottom=False)
    return panels


def mark(panel: Any, penalty_max: float) -> None:
    """Name λ_max above its line."""
    panel.annotate(
        r"$\lambda_{\max}$",
        (penalty_max, 1),
        xycoords=("data", "axes fraction"),
        xytext=(0, 2),
        textcoords="offset points",
        ha="center",
        va="bottom",
        color="0.35",
        fontsize="small",
    )
