"""The objective of each epoch."""

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from sklearn.utils._optional_dependencies import check_matplotlib_support
from sklearn.utils.validation import check_is_fitted

from skcae._estimators.documentation import documented
from skcae.inspection._plot._axes import (
    axes_for,
    curve_style,
    marked,
    spelled_out,
)


@documented
class LossCurveDisplay:
    """Loss curves: the objective of each epoch, on training and held-out data.

    The two are drawn on one axis if both are the objective, and else on one each.

    Parameters
    ----------
    training : dict of ndarray of shape (n_iter,)
        The mean objective of each epoch's steps, by the name of what was trained.

    held_out : dict of ndarray
        What was measured on held-out data after each epoch, by the same names; after
        a warm start, of the last ones.

    held_out_label : str, default="objective"
        What that is. If it is not the objective, it gets an axis of its own.

    Attributes
    ----------
    %(axes)s

    lines_ : list of matplotlib Line2D
        The curves.

    See Also
    --------
    ContractionCurveDisplay : What was learnt, and not how.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skcae import ContractiveAutoencoder
    >>> from skcae.inspection import LossCurveDisplay
    >>> X = load_digits().data / 16
    >>> encoder = ContractiveAutoencoder(
    ...     32, max_iter=20, early_stopping=True, tol=0.1, random_state=0
    ... ).fit(X)
    >>> display = LossCurveDisplay.from_estimator(encoder)
    >>> [line.get_label() for line in display.lines_]
    ['training', 'held out']
    """

    def __init__(
        self,
        training: dict[str, np.ndarray],
        held_out: dict[str, np.ndarray],
        *,
        held_out_label: str = "objective",
    ) -> None:
        self.training = training
        self.held_out = held_out
        self.held_out_label = held_out_label

    @classmethod
    @documented
    def from_estimator(cls, estimator: Any, *, ax: Any = None) -> Self:
        """Draw the curves of a fitted estimator.

        Parameters
        ----------
        estimator : fitted estimator
            An autoencoder of skcae, a `StackedCAE`, whose layers are drawn one by one,
            or a fine-tuned network.

        %(ax)s

        Returns
        -------
        display : LossCurveDisplay
            With the picture drawn.

        Raises
        ------
        TypeError
            If the estimator keeps no such curve, as scikit-learn's RBM does not.
        """
        check_matplotlib_support(cls.__name__)
        check_is_fitted(estimator)
        trained = trained_parts(estimator)
        if not all(hasattr(part, "loss_curve_") for part in trained.values()):
            raise TypeError(
                f"{type(estimator).__name__} keeps no loss_curve_. Pass an autoencoder "
                "of skcae, a StackedCAE or a fine-tuned network."
            )
        training = {name: part.loss_curve_ for name, part in trained.items()}
        for attribute, label in (
            ("validation_loss_curve_", "objective"),
            ("validation_error_curve_", "error"),
        ):
            held_out = {
                name: getattr(part, attribute)
                for name, part in trained.items()
                if hasattr(part, attribute)
            }
            if held_out:
                return cls(training, held_out, held_out_label=label).plot(ax=ax)
        return cls(training, {}).plot(ax=ax)

    @documented
    def plot(self, *, ax: Any = None, line_kw: Mapping[str, Any] | None = None) -> Self:
        """Draw the curves.

        Parameters
        ----------
        %(ax)s

        %(line_kw)s

        Returns
        -------
        display : LossCurveDisplay
            Itself.
        """
        ax = axes_for(self, ax)
        has_other = bool(self.held_out) and self.held_out_label != "objective"
        other = ax.twinx() if has_other else ax
        self.lines_ = []
        # On an axis of its own a curve has a colour of its own.
        for curves, axes, what, dashes, first in (
            (self.training, ax, "training", "-", 0),
            (self.held_out, other, "held out", "--", int(has_other)),
        ):
            for number, (name, curve) in enumerate(curves.items(), first):
                style = {
                    "color": curve_style(number)["color"],
                    "linestyle": dashes,
                    "label": f"{what}, {name}" if name else what,
                    **marked(curve),
                    **spelled_out(line_kw),
                }
                # After a warm start there are held-out data of the last epochs only.
                n_epochs = len(self.training[name])
                epochs = np.arange(n_epochs - len(curve), n_epochs) + 1
                self.lines_ += axes.plot(epochs, curve, **style)
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.set_xlabel("epoch")
        ax.set_ylabel("objective, mean over rows")
        if other is not ax:
            other.set_ylabel("error on held-out rows")
            # From zero up, and from the first epoch on.
            other.update_datalim([(1, 0)])
            other.autoscale_view()
            # Above the axes: of two that share a place none is free of curves.
            ax.legend(
                handles=self.lines_,
                loc="lower left",
                bbox_to_anchor=(0, 1),
                ncols=len(self.lines_),
                frameon=False,
            )
        else:
            ax.legend(handles=self.lines_)
        return self


def trained_parts(estimator: Any) -> dict[str, Any]:
    """Return what was trained by itself: the layers of a stack, or the estimator."""
    layers = getattr(estimator, "estimators_", [estimator])
    if len(layers) == 1:
        return {"": layers[0]}
    return {f"layer {k}": layer for k, layer in enumerate(layers, 1)}
