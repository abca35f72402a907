"""Contractive autoencoders trained one on top of the other."""

import copy
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import reduce
from itertools import repeat
from numbers import Integral
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import BaseEstimator, _fit_context
from sklearn.callback import CallbackSupportMixin
from sklearn.callback._callback_context import CallbackContext
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from skcae._base import EncoderMixin
from skcae._contractive import ContractiveAutoencoder
from skcae._core.arrays import row_slices
from skcae._core.parallel import Ranks, together
from skcae._documentation import documented
from skcae._epochs import described_call, draw_seed
from skcae._parallel import check_agreement
from skcae._parameters import STRENGTH, ContractiveParameters
from skcae._progress import epoch_progress
from skcae._state import adopt
from skcae._validation import (
    CheckedData,
    check_codes,
    check_codes_can_be_reconstructed,
    check_data,
    check_held_out_arguments,
    check_held_out_data,
    check_same_stack,
    check_stack,
    check_X,
)


@documented
@dataclass(repr=False, eq=False, kw_only=True)
class StackedCAE(
    EncoderMixin,
    ContractiveParameters,
    CallbackSupportMixin,
    BaseEstimator,
):
    r"""Contractive autoencoders stacked: each encodes the codes of the one below.

    The layers are trained one after the other, from the input up, each as a
    `ContractiveAutoencoder` on the codes that those below it give to the training data
    [1]_. With one layer it is that estimator.

    Parameters
    ----------
    hidden_layer_sizes : sequence of int, default=(1000, 1000)
        The number of hidden units of each layer, from the input up.

    jacobian_penalty : float or sequence of float, default=0.1
        Strength λ of the contraction of each layer with respect to its own input, see
        `ContractiveAutoencoder`; one number for all layers, or one for each.

    hessian_penalty : float or sequence of float, default=0.0
        Strength γ of the penalty on the second derivatives, likewise.

    %(Hessian samples)s

    %(layer)s

    %(solver)s

    %(stopping)s

    %(warm start)s

    %(data parallel)s

    %(running)s

    Attributes
    ----------
    estimators_ : list of ContractiveAutoencoder
        The fitted layers, from the input up, with their loss curves.

    n_iter_ : int
        Number of epochs run, over all layers.

    n_features_in_ : int
        Number of features seen during fit.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, if X had any.

    See Also
    --------
    ContractiveAutoencoder : One layer.
    sklearn.pipeline.Pipeline : Stacks autoencoders of other kinds.

    Notes
    -----
    The first layer draws from `random_state` what a single estimator would draw, and
    the others go on from there.

    `max_iter` and `tol` are for each layer by itself. With `warm_start` every layer
    goes on; sizes added at the end of `hidden_layer_sizes` make new layers on top.

    In memory are the codes that a layer is trained on, not those below them.

    References
    ----------
    .. [1] S. Rifai, P. Vincent, X. Muller, X. Glorot and Y. Bengio, "Contractive
       Auto-Encoders: Explicit Invariance During Feature Extraction", ICML 2011.

    .. [2] S. Rifai, G. Mesnil, P. Vincent, X. Muller, Y. Bengio, Y. Dauphin and
       X. Glorot, "Higher Order Contractive Auto-Encoder", ECML PKDD 2011.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skcae import StackedCAE
    >>> X = load_digits().data / 16
    >>> stack = StackedCAE((32, 16), max_iter=20, tol=0.1, random_state=0).fit(X)
    >>> stack.transform(X).shape
    (1797, 16)
    >>> [layer.components_.shape for layer in stack.estimators_]
    [(32, 64), (16, 32)]
    """

    hidden_layer_sizes: Sequence[int] = field(default=(1000, 1000), kw_only=False)
    jacobian_penalty: float | Sequence[float] = 0.1
    hessian_penalty: float | Sequence[float] = 0.0

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **ContractiveParameters._parameter_constraints,
        "hidden_layer_sizes": ["array-like"],
        "jacobian_penalty": [STRENGTH, "array-like"],
        "hessian_penalty": [STRENGTH, "array-like"],
    }

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X: Any,
        y: Any = None,
        sample_weight: Any = None,
        *,
        X_val: Any = None,
        sample_weight_val: Any = None,
    ) -> Self:
        """Fit the layers, one after the other.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training data.

        y : Ignored
            Not used, present for consistency with scikit-learn. It is handed to
            callbacks.

        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights, for all layers.

        X_val : {array-like, sparse matrix} of shape (n_val, n_features), default=None
            Held-out data for the `early_stopping` of each layer, in place of
            `validation_fraction`.

        sample_weight_val : array-like of shape (n_val,), default=None
            Weights of the held-out data.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If a parameter or the data is not usable, or the training diverges. The
            estimator is then what it was before.
        KeyboardInterrupt
            If the fit is interrupted. The estimator is then the stack of the layers
            trained so far, the last of them as `ContractiveAutoencoder` leaves it, and
            with `warm_start` the earlier ones above them; before the first epoch it is
            what it was before.

        Warns
        -----
        ConvergenceWarning
            If `max_iter` ends the training of a layer whose objective was still
            falling.
        """
        goes_on = self.warm_start and hasattr(self, "estimators_")
        call = described_call(self, X, y, sample_weight)
        with together(self.data_parallel) as ranks:
            layers = self._layers(goes_on)
            data = check_data(self, X, sample_weight, loss=self.loss, goes_on=goes_on)
            check_held_out_arguments(self.early_stopping, X_val, sample_weight_val)
            held_out = None
            if X_val is not None:
                held_out = check_held_out_data(self, data, X_val, sample_weight_val)
            check_agreement(ranks, self, data, X_val)
            with epoch_progress(self, ranks.rank) as log:
                context = self._init_callback_context(max_subtasks=len(layers))
                context.call_on_fit_task_begin(**call)
                self._fit_layers(layers, data, held_out, call, context, log, ranks)
                context.call_on_fit_task_end(**call, reconstruction_attributes={})
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Encode X by all layers.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data to encode.

        Returns
        -------
        H : ndarray of shape (n_samples, hidden_layer_sizes[-1])
            The codes of the last layer, float32 for float32 data and float64 otherwise.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        ValueError
            If X is not usable or has another number of features.
        """
        check_is_fitted(self)
        H: np.ndarray = encode(self.estimators_, check_X(self, X))
        return H

    def inverse_transform(self, X: Any) -> np.ndarray:
        """Decode codes by all layers.

        Parameters
        ----------
        X : array-like of shape (n_samples, hidden_layer_sizes[-1])
            Codes, as `transform` gives them.

        Returns
        -------
        X_original : ndarray of shape (n_samples, n_features)
            The reconstruction.

        Raises
        ------
        ValueError
            If X has another number of columns than the last layer has units.
        """
        check_is_fitted(self)
        X_original: np.ndarray = decode(self.estimators_, check_codes(self, X))
        return X_original

    def score_samples(self, X: Any) -> np.ndarray:
        """Compute minus the reconstruction loss of each sample.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data to encode and decode by all layers.

        Returns
        -------
        score : ndarray of shape (n_samples,)
            Minus the first layer's loss, summed over features, without penalties.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        ValueError
            If X is not usable or has another number of features.
        """
        check_is_fitted(self)
        X = check_X(self, X)
        first, *others = self.estimators_
        if not others:
            scores: np.ndarray = first.score_samples(X)
            return scores
        width = max(max(layer.components_.shape) for layer in self.estimators_)
        parts = []
        for part in row_slices(X.shape[0], width):
            codes = decode(others, encode(self.estimators_, X[part]))
            parts.append(first._score_codes(X[part], codes))
        return np.concatenate(parts)

    @property
    def _n_features_out(self) -> int:
        return int(self.estimators_[-1]._n_features_out)

    # ---- fitting ----------------------------------------------------------------

    def _layers(self, goes_on: bool) -> list[ContractiveAutoencoder]:
        """Make the layers to be fitted, and refuse what cannot be before any is."""
        per_layer = check_stack(
            self.hidden_layer_sizes,
            jacobian_penalty=self.jacobian_penalty,
            hessian_penalty=self.hessian_penalty,
        )
        check_codes_can_be_reconstructed(len(per_layer), self.activation, self.loss)
        shared: dict[str, Any] = {
            f.name: getattr(self, f.name) for f in fields(ContractiveParameters)
        }
        layers = [
            ContractiveAutoencoder(size, **strengths, **shared)
            for size, strengths in per_layer
        ]
        for layer in layers:
            layer._objective()
        return self._going_on(layers) if goes_on else layers

    def _going_on(
        self, fresh: list[ContractiveAutoencoder]
    ) -> list[ContractiveAutoencoder]:
        """Return copies of the fitted layers, with the present parameters.

        After an interrupt there are fewer of them; those that are missing stay fresh.
        """
        fitted = [layer.components_.shape[0] for layer in self.estimators_]
        check_same_stack(fitted, [layer.n_components for layer in fresh])
        copies = copy.deepcopy(self.estimators_)
        for layer, now in zip(copies, fresh, strict=False):
            layer.set_params(**now.get_params())
            layer._check_goes_on()
        return [*copies, *fresh[len(copies) :]]

    def _seeds(self) -> Iterator[Any]:
        """Give each layer's `random_state`, to be asked for when its turn comes.

        The first layer takes ours, and draws from it what a single estimator would.
        """
        yield self.random_state
        if self.random_state is None:
            yield from repeat(None)
        stream = check_random_state(self.random_state)
        if isinstance(self.random_state, Integral):
            draw_seed(stream)  # what the first layer drew
        while True:
            yield draw_seed(stream)

    def _fit_layers(
        self,
        layers: list[ContractiveAutoencoder],
        data: CheckedData,
        held_out: CheckedData | None,
        call: dict[str, Any],
        context: CallbackContext,
        log: Callable[..., None],
        ranks: Ranks,
    ) -> None:
        """Fit each layer on the codes of those below it, and become the stack."""
        columns, goes_on = data.columns, data.goes_on
        fitted: list[ContractiveAutoencoder] = []
        try:
            for layer, seed in zip(layers, self._seeds(), strict=False):
                if fitted:
                    # The codes below those of the last layer are needed no more.
                    data, held_out = encoded(fitted[-1], data, held_out)
                n_before = getattr(layer, "n_iter_", 0)
                layer.set_params(random_state=seed)
                log("layer %d/%d", len(fitted) + 1, len(layers))
                task = context.subcontext(task_name="layer")
                with task.propagate_callback_context(layer):
                    task.call_on_fit_task_begin(**call)
                    try:
                        name = f"Layer {len(fitted) + 1} of {len(layers)}"
                        fit_layer(name, layer, data, held_out, call["y"])
                    finally:
                        if getattr(layer, "n_iter_", 0) > n_before:
                            fitted.append(layer)
                stop = task.call_on_fit_task_end(
                    **call,
                    reconstruction_attributes=lambda: stack_attributes(
                        copy.deepcopy(fitted), columns
                    ),
                )
                if any(ranks.gather(bool(stop))):
                    break
            ranks.end()
        finally:
            # After an interrupt too, or where a callback ended the fit: those above
            # are then still the layers of the fit that this one went on from.
            if fitted and not isinstance(sys.exception(), Exception):
                above = self.estimators_[len(fitted) :] if goes_on else []
                adopt(self, stack_attributes([*fitted, *above], columns))


def fit_layer(
    name: str,
    layer: ContractiveAutoencoder,
    data: CheckedData,
    held_out: CheckedData | None,
    y: Any,
) -> None:
    """Fit one layer on the codes of those below it; an error names it."""
    how: dict[str, Any] = {}
    if held_out is not None:
        how = {"X_val": held_out.X, "sample_weight_val": held_out.sample_weight}
    try:
        layer.fit(data.X, y, data.sample_weight, **how)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def encoded(
    layer: ContractiveAutoencoder, data: CheckedData, held_out: CheckedData | None
) -> tuple[CheckedData, CheckedData | None]:
    """Return the codes that a layer gives to the data, and to the held-out data."""
    codes = replace(data, X=layer._codes(data.X))
    if held_out is None:
        return codes, None
    return codes, replace(held_out, X=layer._codes(held_out.X))


def stack_attributes(
    layers: list[ContractiveAutoencoder], columns: dict[str, Any]
) -> dict[str, Any]:
    """Return the fitted attributes of a stack of these layers."""
    return {
        "feature_names_in_": None,
        **columns,
        "estimators_": list(layers),
        "n_iter_": sum(layer.n_iter_ for layer in layers),
    }


def encode(layers: Sequence[ContractiveAutoencoder], X: Any) -> Any:
    """Encode by all layers, from the input up."""
    return reduce(lambda codes, layer: layer._codes(codes), layers, X)


def decode(layers: Sequence[ContractiveAutoencoder], H: Any) -> Any:
    """Decode by all layers, from the last down."""
    return reduce(
        lambda codes, layer: layer.inverse_transform(codes), reversed(layers), H
    )
