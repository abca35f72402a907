"""The search for λ by what the codes are for: short fits, and one full fit."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from numbers import Integral
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import (
    BaseEstimator,
    MetaEstimatorMixin,
    TransformerMixin,
    _fit_context,
    clone,
    is_classifier,
)
from sklearn.callback import CallbackSupportMixin
from sklearn.metrics import get_scorer_names
from sklearn.model_selection import (
    ParameterGrid,
    ShuffleSplit,
    StratifiedShuffleSplit,
    check_cv,
)
from sklearn.utils import get_tags
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.metadata_routing import (
    MetadataRouter,
    MethodMapping,
)
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import check_is_fitted, column_or_1d, indexable

from skcae._core.data.arrays import Array
from skcae._encoders.containers import check_is_read, computed
from skcae._estimators.contractive import ContractiveAutoencoder
from skcae._estimators.integrity import check_n_features_in
from skcae._fit.attributes import adopt
from skcae._fit.collapse import scale_of_penalty
from skcae._fit.data import draw_seed, rows_for
from skcae._fit.pretraining import fit_encoder
from skcae.model_selection._scale import jacobian_penalty_grid
from skcae.model_selection._short_fits import ShortFits, judges_of

# A short fit has this part of `max_iter`. While the rate is high a full one does not
# stop, which is for half of it: eight short ones take no longer than two full ones.
PART_OF_EPOCHS = 1 / 8
# Of the rows this part judges, if nothing else is said.
HELD_OUT = 0.25


def has_inverse(search: "ContractiveAutoencoderCV") -> bool:
    """Tell whether codes can be decoded; an AttributeError says why not."""
    return callable(getattr(search, "encoder_", search._encoder).inverse_transform)


@dataclass(repr=False, eq=False, kw_only=True)
class ContractiveAutoencoderCV(
    CallbackSupportMixin, MetaEstimatorMixin, TransformerMixin, BaseEstimator
):
    r"""Contractive autoencoder whose λ is chosen by what its codes are for.

    For each λ of a grid an encoder is fitted for few epochs to a part of the rows, and
    an estimator on its codes, the judge, is scored on the others. With the λ of the
    best score an encoder is then fitted to all rows, for all epochs. With eight values
    of λ the encoders take as long as two or three full fits, where `GridSearchCV` makes
    nine, and the judge's own parameters are searched on the same codes.

    Parameters
    ----------
    judge : estimator
        What the codes are for: a classifier or a regressor.

    encoder : estimator or None, default=None
        The autoencoder, of any kind that has the parameters `jacobian_penalty` and
        `max_iter`. None is `ContractiveAutoencoder()`. All of its fits start at the
        same `random_state`.

    penalties : int or array-like of shape (n_penalties,), default=8
        The values of λ. A number is for so many of `jacobian_penalty_grid` of X, for
        an encoder of one dense layer or convolution with tied weights; others have no
        such scale.

    judge_grid : dict, list of dicts or None, default=None
        The judge's parameters to be searched over, as `GridSearchCV` takes them. Larger
        λ make smaller codes, so that λ and the judge's own penalty belong together.

    max_iter_search : int or None, default=None
        The epochs of a short fit. None is an eighth of the encoder's `max_iter`.

    cv : int, cross-validation generator, iterable or None, default=None
        What divides the rows into those that encoder and judge are fitted to, and
        those that score. None is one division in which a quarter scores, of each class
        if the judge is a classifier. With more than one an encoder is fitted in each.

    scoring : str, callable or None, default=None
        The score, as scikit-learn has it. None is the judge's own.

    n_jobs : int or None, default=None
        How many short fits run at the same time, see scikit-learn's glossary.

    random_state : int, RandomState instance or None, default=None
        Draws the division of `cv=None`, and where the encoder has none the seed that
        all of its fits share.

    Attributes
    ----------
    encoder_ : estimator
        The encoder with the best λ, fitted to all rows.

    best_penalty_ : float
        Its λ.

    best_params_ : dict
        λ as "jacobian_penalty", and the judge's parameters that go with it.

    best_score_ : float
        Their mean score, after short fits.

    best_index_ : int
        Their place in `cv_results_`.

    cv_results_ : dict of ndarrays
        The table of all λ and parameters of the judge, as `GridSearchCV` has it. A
        time of fit is that of the short fit and of the judge.

    n_features_in_ : int
        Number of features seen during fit.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, if X had any.

    See Also
    --------
    jacobian_penalty_grid : The values that a number of penalties stands for.
    sklearn.model_selection.GridSearchCV : Searches over any parameters, by full fits.

    Notes
    -----
    A judge may be a search itself, `GridSearchCV(LinearSVC(), {"C": [0.1, 1, 10]})`:
    it then chooses among the rows that it is fitted to.

    Callbacks that are set here look on at all fits if they are of the kind that
    scikit-learn propagates, those of the encoder at its own. What a short fit warns of,
    that it has not converged or learnt nothing, is left to its score.

    A graph or an inspection is to be of `encoder_`.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.svm import LinearSVC
    >>> from skcae import ContractiveAutoencoder
    >>> from skcae.model_selection import ContractiveAutoencoderCV
    >>> X, y = load_digits(return_X_y=True)
    >>> search = ContractiveAutoencoderCV(
    ...     LinearSVC(random_state=0),
    ...     ContractiveAutoencoder(32, max_iter=40, tol=0.01),
    ...     judge_grid={"C": [0.1, 1]},
    ...     random_state=0,
    ... )
    >>> search.fit_transform(X / 16, y).shape
    (1797, 32)
    >>> len(search.cv_results_["params"])
    16
    >>> sorted(search.best_params_)
    ['C', 'jacobian_penalty']
    """

    judge: Any = field(kw_only=False)
    encoder: Any = field(default=None, kw_only=False)
    penalties: int | Sequence[float] = 8
    judge_grid: Any = None
    max_iter_search: int | None = None
    cv: Any = None
    scoring: Any = None
    n_jobs: int | None = None
    random_state: Any = None

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "judge": [HasMethods(["fit"])],
        "encoder": [HasMethods(["fit", "transform"]), None],
        "penalties": [Interval(Integral, 1, None, closed="left"), "array-like"],
        "judge_grid": [dict, list, None],
        "max_iter_search": [Interval(Integral, 1, None, closed="left"), None],
        "cv": ["cv_object"],
        "scoring": [StrOptions(set(get_scorer_names())), callable, None],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
    }

    # Encoder and judge are to be validated when they are fitted.
    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Choose λ, and fit the encoder with it.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training data.

        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            What the judge is to predict.

        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights, for encoder, judge and score.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        TypeError
            If X gives its rows in batches, or the judge takes no weights but they are
            given.
        ValueError
            If y is None, a parameter or the data is not usable, or a training diverges.
            The estimator is then what it was before.
        KeyboardInterrupt
            If the fit is interrupted. The estimator is then what it was before.
        """
        check_is_read(X)
        if any("jacobian_penalty" in of for of in ParameterGrid(self.judge_grid or {})):
            raise ValueError(
                "judge_grid has the encoder's jacobian_penalty, whose values are "
                "penalties. A judge's own parameter of that name cannot be searched "
                "over."
            )
        if y is None:
            raise ValueError(
                "ContractiveAutoencoderCV requires y to be passed, but the target y is "
                "None: λ is chosen by how well the judge predicts it."
            )
        X, y, sample_weight = indexable(computed(X), y, sample_weight)
        seed = draw_seed(self.random_state)
        encoder = self._encoder_to_fit(seed)
        splits = list(self._splitter(y, seed).split(X, y))
        penalties = self._values(encoder, X, sample_weight)
        metadata = None if sample_weight is None else {"sample_weight": sample_weight}
        call = {"estimator": self, "X": X, "y": y, "metadata": metadata}
        root = self._init_callback_context(max_subtasks=2)
        root.call_on_fit_task_begin(**call)
        n_short = self.max_iter_search or max(
            1, round(PART_OF_EPOCHS * encoder.max_iter)
        )
        short = ShortFits(self, encoder, n_short, X, y, sample_weight)
        results = short.results(penalties, splits, root)
        best = int(results["rank_test_score"].argmin())
        params = results["params"][best]
        encoder.set_params(jacobian_penalty=params["jacobian_penalty"])
        task = root.subcontext("refit-with-best-penalty")
        fit_encoder(self, encoder, X, y, sample_weight, task)
        adopt(
            self,
            {
                "encoder_": encoder,
                "best_penalty_": params["jacobian_penalty"],
                "best_params_": params,
                "best_score_": results["mean_test_score"][best],
                "best_index_": best,
                "cv_results_": results,
                "n_features_in_": encoder.n_features_in_,
                "feature_names_in_": getattr(encoder, "feature_names_in_", None),
            },
        )
        root.call_on_fit_task_end(**call)
        return self

    # ---- what is searched over ---------------------------------------------------

    @property
    def _encoder(self) -> Any:
        return ContractiveAutoencoder() if self.encoder is None else self.encoder

    def _encoder_to_fit(self, seed: int) -> Any:
        """Return an encoder to be fitted, and refuse one that has no λ."""
        encoder = clone(self._encoder)
        params = encoder.get_params(deep=False)
        for name in ("jacobian_penalty", "max_iter"):
            if name not in params:
                raise ValueError(
                    f"encoder is a {type(encoder).__name__}, which has no parameter "
                    f"{name}. Pass an autoencoder that has one; steps before it belong "
                    "into a pipeline that ContractiveAutoencoderCV is a step of."
                )
        if params.get("random_state", seed) is None:
            encoder.set_params(random_state=seed)
        return encoder

    def _values(self, encoder: Any, X: Any, sample_weight: Any) -> list[float]:
        """Return the values of λ."""
        if not isinstance(self.penalties, Integral):
            if np.ndim(self.penalties) != 1:
                raise ValueError(
                    "penalties must be an integer or a sequence of numbers, got "
                    f"{self.penalties!r}."
                )
            values = column_or_1d(self.penalties, dtype=np.float64)
        else:
            scale = scale_of_penalty(encoder)
            if scale is None:
                raise ValueError(
                    f"penalties={self.penalties} asks for a grid by the scale of λ, "
                    "which one dense layer or convolution with tied_weights=True has: "
                    f"this {type(encoder).__name__} is none. Pass the values of λ, "
                    "such as penalties=[0, 0.01, 0.1, 1]."
                )
            rows, n = rows_for(encoder, X), self.penalties
            values = jacobian_penalty_grid(
                rows, n, sample_weight=sample_weight, **scale
            )
        if not len(values):
            raise ValueError("penalties has no values.")
        return [float(value) for value in values]

    def _splitter(self, y: Any, seed: int) -> Any:
        """Return what divides the rows."""
        is_classified = is_classifier(self.judge)
        if self.cv is not None:
            return check_cv(self.cv, y, classifier=is_classified)
        has_classes = is_classified and type_of_target(y) in ("binary", "multiclass")
        divide = StratifiedShuffleSplit if has_classes else ShuffleSplit
        return divide(1, test_size=HELD_OUT, random_state=seed)

    def _check_whole(self) -> None:
        """Refuse to be a search whose encoder takes other columns."""
        if hasattr(self, "encoder_"):
            check_n_features_in(self, self.encoder_.n_features_in_)

    # ---- what is handed on ---------------------------------------------------------

    def get_metadata_routing(self) -> MetadataRouter:
        """Say which metadata goes where.

        Returns
        -------
        routing : MetadataRouter
            The requests of this estimator, and those of encoder, judge and score.
        """
        mapping = MethodMapping().add(caller="fit", callee="fit")
        router = MetadataRouter(owner=self).add_self_request(self)
        router.add(encoder=self._encoder, method_mapping=mapping)
        return router.add(judge=judges_of(self), method_mapping=mapping)

    # ---- the fitted encoder ------------------------------------------------------

    def transform(self, X: Any) -> Any:
        """Encode X.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data to encode.

        Returns
        -------
        H : ndarray of shape (n_samples, n_components)
            The codes of `encoder_`.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        ValueError
            If X is not usable or has another number of features.
        """
        check_is_fitted(self)
        return self.encoder_.transform(X)

    @available_if(has_inverse)
    def inverse_transform(self, X: Any) -> Any:
        """Decode codes, where the encoder can.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_components)
            Codes, as `transform` gives them.

        Returns
        -------
        X_original : ndarray of shape (n_samples, n_features)
            The reconstruction.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        ValueError
            If X has another number of columns than codes have.
        """
        check_is_fitted(self)
        return self.encoder_.inverse_transform(X)

    def get_feature_names_out(self, input_features: Any = None) -> Array:
        """Name the columns of the codes.

        Parameters
        ----------
        input_features : array-like of str or None, default=None
            Must be those of X in `fit`, or as many; names do not depend on them.

        Returns
        -------
        names : ndarray of str
            The names that `encoder_` gives.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        """
        check_is_fitted(self)
        names: Array = self.encoder_.get_feature_names_out(input_features)
        return names

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        # What is no estimator is refused by `fit`, not here.
        if isinstance(self._encoder, BaseEstimator):
            of_encoder = get_tags(self._encoder)
            tags.input_tags = of_encoder.input_tags
            tags.transformer_tags = of_encoder.transformer_tags
        return tags
