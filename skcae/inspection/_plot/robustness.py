"""The error of fitted classifiers as their rows are perturbed more and more."""

from collections.abc import Callable, Mapping
from functools import partial
from numbers import Integral
from typing import Any, Self

import narwhals.stable.v2 as nw
import numpy as np
from sklearn.metrics import check_scoring
from sklearn.utils import check_array, check_scalar, indexable
from sklearn.utils._optional_dependencies import check_matplotlib_support

from skcae._encoders.containers import FLOATS, as_frame, computed
from skcae._estimators.documentation import documented
from skcae._fit.data import draw_seed
from skcae._fit.images import image_shape_of
from skcae.inspection._plot._axes import (
    axes_for,
    draw_curve,
    include_origin,
    named,
    spelled_out,
)
from skcae.perturbations import PERTURBATIONS

# What is said of the strength on the axis.
LABELS = {
    "gaussian": "standard deviation of the noise",
    "masking": "part of the columns set to 0",
    "occlusion": "part of the image set to 0",
    "shift": "shift in pixels",
    "rotation": "rotation in degrees",
}
OF_IMAGES = ("occlusion", "shift", "rotation")
# By default there are so many strengths from 0, the last of them of the rows and the
# shorter side of the images.
N_STRENGTHS = 7
LARGEST: dict[Any, Callable[[np.ndarray, int], float]] = {
    "gaussian": lambda X, side: 2 * float(np.nanstd(X)),
    "masking": lambda X, side: 0.8,
    "occlusion": lambda X, side: 0.5,
    "shift": lambda X, side: side / 4,
    "rotation": lambda X, side: 60.0,
}


@documented
class RobustnessCurveDisplay:
    """Robustness curves: the error of classifiers as their rows are perturbed.

    It is made by `from_estimator`. `skcae.perturbations` has what may happen to rows.

    Parameters
    ----------
    strengths : ndarray of shape (n_strengths,)
        How strong the perturbation is.

    errors : dict of ndarray of shape (n_strengths, n_repeats)
        By the name of each estimator its error, 1 − its score.

    perturbation : str, default=None
        The name of the perturbation, for the axis.

    Attributes
    ----------
    %(axes)s

    lines_ : list of matplotlib Line2D
        The curves.

    See Also
    --------
    ContractionCurveDisplay : How far codes move, whatever is made of them.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.linear_model import RidgeClassifier
    >>> from sklearn.pipeline import make_pipeline
    >>> from skcae import Autoencoder, ContractiveAutoencoder
    >>> from skcae.inspection import RobustnessCurveDisplay
    >>> X, y = load_digits(return_X_y=True)
    >>> X, X_test, y, y_test = X[:900] / 16, X[900:] / 16, y[:900], y[900:]
    >>> how = {"max_iter": 20, "tol": 0.1, "random_state": 0}
    >>> classifiers = {
    ...     "AE": make_pipeline(Autoencoder(64, **how), RidgeClassifier()),
    ...     "CAE": make_pipeline(ContractiveAutoencoder(64, **how), RidgeClassifier()),
    ... }
    >>> for classifier in classifiers.values():
    ...     _ = classifier.fit(X, y)
    >>> display = RobustnessCurveDisplay.from_estimator(
    ...     classifiers, X_test, y_test, perturbation="shift", random_state=0
    ... )
    >>> errors = display.errors["CAE"].mean(axis=1)
    >>> bool(errors[0] < 0.2 < errors[-1])
    True
    """

    def __init__(
        self,
        strengths: np.ndarray,
        errors: Mapping[str, np.ndarray],
        *,
        perturbation: str | None = None,
    ) -> None:
        self.strengths = strengths
        self.errors = errors
        self.perturbation = perturbation

    @classmethod
    @documented
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any,
        *,
        perturbation: str | Callable[..., np.ndarray] = "gaussian",
        strengths: Any = None,
        image_shape: tuple[int, ...] | None = None,
        n_repeats: int = 5,
        scoring: Any = None,
        random_state: Any = None,
        ax: Any = None,
        **plot_parameters: Any,
    ) -> Self:
        """Perturb rows, score fitted estimators on them, and draw their curves.

        All estimators get the same rows, and all strengths the same random numbers.

        Parameters
        ----------
        estimator : fitted estimator or dict of them
            A classifier, regressor or `Pipeline`, or several by the names that they are
            to have in the picture. What is perturbed is what the pipeline takes.

        X : array-like of shape (n_samples, n_features)
            Rows that none was fitted on.

        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Their labels or values.

        perturbation : str or callable, default="gaussian"
            A name of `skcae.perturbations`: "gaussian", "masking", or of images
            "occlusion", "shift" or "rotation". Or a function that takes rows, a
            strength and a `numpy.random.Generator`, and returns as many rows.

        strengths : array-like of shape (n_strengths,), default=None
            How strong it is to be. By default seven values from 0 up to twice the
            standard deviation of X for noise, 0.8 for masking, half of an image for
            occlusion, a quarter of its shorter side for shifts and 60 degrees for
            rotations. A function has no default.

        image_shape : tuple of int, default=None
            (height, width), or (height, width, 3) for colours; a square by default.
            Only for the perturbations of images.

        n_repeats : int, default=5
            How many times to perturb all rows.

        scoring : str or callable, default=None
            How the estimators are scored, by default by their own `score`. The error is
            1 − that.

        random_state : int, RandomState instance or None, default=None
            Where the perturbations come from.

        %(ax)s

        %(plot parameters)s

        Returns
        -------
        display : RobustnessCurveDisplay
            With the picture drawn.

        Raises
        ------
        ValueError
            If there is no estimator, no such perturbation, a function has no strengths,
            or the rows make no images.
        """
        check_matplotlib_support(cls.__name__)
        check_scalar(n_repeats, "n_repeats", Integral, min_val=1)
        estimators = named(estimator)
        X, y = indexable(computed(X), y)
        # What is missing may be imputed behind the perturbation.
        rows = check_array(X, dtype=FLOATS, ensure_all_finite="allow-nan")
        perturb = perturbation_of(perturbation, image_shape)
        strengths = strengths_of(perturbation, strengths, rows, image_shape)
        seed = draw_seed(random_state)
        errors = {name: np.empty((len(strengths), n_repeats)) for name in estimators}
        scores = {
            name: check_scoring(each, scoring) for name, each in estimators.items()
        }
        for k, strength in enumerate(strengths):
            for repeat in range(n_repeats):
                rng = np.random.default_rng([seed, repeat])
                perturbed = in_frame_of(X, perturb(rows, strength, rng))
                for name, score in scores.items():
                    error = 1 - score(estimators[name], perturbed, y)
                    errors[name][k, repeat] = error
        called = perturbation if isinstance(perturbation, str) else None
        display = cls(strengths, errors, perturbation=called)
        return display.plot(ax=ax, **plot_parameters)

    @documented
    def plot(
        self,
        *,
        ax: Any = None,
        spread: bool = False,
        line_kw: Mapping[str, Any] | None = None,
    ) -> Self:
        """Draw the mean error over the repeats.

        Parameters
        ----------
        %(ax)s

        spread : bool, default=False
            Whether to shade one standard deviation about the mean.

        %(line_kw)s

        Returns
        -------
        display : RobustnessCurveDisplay
            Itself.
        """
        ax = axes_for(self, ax)
        self.lines_ = []
        for number, (name, error) in enumerate(self.errors.items()):
            # Repeats are the axis 1.
            mean, std = error.mean(axis=1), error.std(axis=1)
            style = {"label": name, **spelled_out(line_kw)}
            if spread:
                style["band"] = mean - std, mean + std
            line = draw_curve(ax, number, self.strengths, mean, **style)
            self.lines_.append(line)
        include_origin(ax)
        ax.set_xlabel(LABELS.get(self.perturbation or "", "strength"))
        ax.set_ylabel("error")
        ax.legend()
        return self


def perturbation_of(
    perturbation: str | Callable[..., np.ndarray], image_shape: tuple[int, ...] | None
) -> Callable[..., np.ndarray]:
    """Return what perturbs rows, by its name or as it is.

    Raises
    ------
    ValueError
        If there is none of this name.
    """
    if callable(perturbation):
        return perturbation
    if not (isinstance(perturbation, str) and perturbation in PERTURBATIONS):
        raise ValueError(
            f"perturbation must be one of {[*PERTURBATIONS]} or a function of rows, "
            f"strength and generator, got {perturbation!r}."
        )
    function = PERTURBATIONS[perturbation]
    is_of_images = perturbation in OF_IMAGES
    return partial(function, image_shape=image_shape) if is_of_images else function


def strengths_of(
    perturbation: str | Callable[..., np.ndarray],
    strengths: Any,
    X: np.ndarray,
    image_shape: tuple[int, ...] | None,
) -> np.ndarray:
    """Return the strengths, by default up to what the perturbation can be.

    Raises
    ------
    ValueError
        If they are no sequence of numbers, or of a function are not given.
    """
    if strengths is not None:
        found: np.ndarray = check_array(
            np.atleast_1d(strengths),
            dtype=np.float64,
            ensure_2d=False,
            input_name="strengths",
        )
        if np.ndim(strengths) != 1:
            raise ValueError(f"strengths must be a list of numbers, got {strengths!r}.")
        return found
    if perturbation not in LARGEST:
        raise ValueError(
            "A perturbation of one's own has no strengths by default: pass strengths."
        )
    is_of_images = perturbation in OF_IMAGES
    shape = image_shape_of(X.shape[1], image_shape) if is_of_images else (0, 0)
    largest = LARGEST[perturbation](X, min(shape[:2]))
    return np.linspace(0, largest, N_STRENGTHS)


def in_frame_of(X: Any, rows: np.ndarray) -> Any:
    """Return rows as a frame with the columns of X, if it is one that names them."""
    frame = as_frame(X)
    if frame is None or not all(isinstance(name, str) for name in frame.columns):
        return rows
    how = {"schema": frame.columns, "backend": frame.implementation}
    return nw.to_native(nw.from_numpy(rows, **how))
