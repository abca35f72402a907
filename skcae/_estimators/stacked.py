"""Contractive autoencoders trained one on top of the other."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import _fit_context
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from skcae._core.data.arrays import Array
from skcae._core.data.rows import row_slices
from skcae._core.layers.layer import Affine, Layer
from skcae._core.training.ranks import together
from skcae._encoders.namespaces import joined, like
from skcae._encoders.steps import (
    DecodingLayer,
    decoding_layers,
    encoding_layers,
)
from skcae._estimators.contractive import HESSIAN_SAMPLES, ContractiveAutoencoder
from skcae._estimators.documentation import documented
from skcae._estimators.encoder import BaseEncoder
from skcae._estimators.integrity import (
    check_layers_meet,
    check_n_features_in,
    check_names,
)
from skcae._fit.attributes import adopt, forget_progress
from skcae._fit.data import FitData, check_codes, check_X
from skcae._fit.parameters import LAYER, SAMPLING, SPREAD, STRENGTH
from skcae._fit.stack import (
    StackFit,
    check_codes_can_be_reconstructed,
    check_stack,
    continued,
    decode,
    encode,
)


@documented
@dataclass(repr=False, eq=False, kw_only=True)
class StackedCAE(BaseEncoder):
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

    %(bias spread)s

    %(solver)s

    %(sampling)s

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

    `reconstruction_sampling` is for the first layer: the codes between layers are
    dense.

    `max_iter` and `tol` are for each layer by itself. With `warm_start` every layer
    goes on; sizes added at the end of `hidden_layer_sizes` make new layers on top.

    In memory are the codes that a layer is trained on, not those below them. For
    memory-mapped data they are in a temporary file instead, and for an iterable they
    are computed anew in each epoch.

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
    activation: str = "sigmoid"
    tied_weights: bool = True
    bias_spread: float | str = "auto"
    jacobian_penalty: float | Sequence[float] = 0.1
    hessian_penalty: float | Sequence[float] = 0.0
    hessian_noise: float | None = None
    n_hessian_samples: int = 4
    noise_on_device: bool = False
    reconstruction_sampling: float | None = None

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **BaseEncoder._parameter_constraints,
        **LAYER,
        **SPREAD,
        **HESSIAN_SAMPLES,
        **SAMPLING,
        "hidden_layer_sizes": ["array-like"],
        "jacobian_penalty": [STRENGTH, "array-like"],
        "hessian_penalty": [STRENGTH, "array-like"],
    }

    # In the midst of a fit, as callbacks see the stack: how many layers are done, those
    # that are to come and go on, and the seed that was drawn if none was given.
    _training_state: ClassVar[dict[str, Any] | None] = None

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
        X : {array-like, sparse matrix} of shape (n_samples, n_features), or iterable
            Training data, as `ContractiveAutoencoder.fit` takes it.

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
        DeadModelWarning
            If a layer has learnt nothing, as far as a few hundred rows tell.
        """
        continues = self.warm_start and hasattr(self, "estimators_")
        given = FitData(X, y, sample_weight, X_val, sample_weight_val)
        with together(self.data_parallel) as ranks:
            layers = self._layers()
            if continues:
                layers = continued(self.estimators_, layers)
            StackFit(self, layers, given, ranks, continues=continues).run()
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def _resume(self, X: Any, y: Any, **others: Any) -> Self:
        """Take up the fit that this stack was seen in the midst of, if it was."""
        progress = self._progress
        if progress is None:
            return self
        given = FitData(X, y, **others)
        n_done, above = progress["n_done"], progress["above"]
        begun = self.estimators_
        with together(self.data_parallel) as ranks:
            layers = continued([*begun, *above], self._layers())
            layers[: len(begun)] = copy.deepcopy(begun)
            how = {"continues": True, "n_done": n_done, "seed": progress["seed"]}
            StackFit(self, layers, given, ranks, **how).run()
        return self

    def _leave_midst(self) -> None:
        """Be the stack of an epoch, and no longer one in the midst of its fit."""
        adopt(self, {"_training_state": None})
        for layer in self.estimators_:
            forget_progress(layer)

    @property
    def _progress(self) -> dict[str, Any] | None:
        """The progress of a fit that has not come to its end."""
        return self._training_state

    def _layers(self) -> list[ContractiveAutoencoder]:
        """Make the layers to be fitted, and refuse what cannot be before any is."""
        per_layer = check_stack(
            self.hidden_layer_sizes,
            jacobian_penalty=self.jacobian_penalty,
            hessian_penalty=self.hessian_penalty,
        )
        check_codes_can_be_reconstructed(len(per_layer), self.activation, self.loss)
        shared = self.get_params(deep=False)
        del shared["hidden_layer_sizes"]
        layers = [
            ContractiveAutoencoder(size, **{**shared, **strengths})
            for size, strengths in per_layer
        ]
        for above in layers[1:]:
            # The codes between the layers are dense.
            above.reconstruction_sampling = None
        for layer in layers:
            layer._objective()
        return layers

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
        return like(encode(self.estimators_, check_X(self, X)), X)

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
        return like(decode(self.estimators_, check_codes(self, X)), X)

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
        rows = check_X(self, X)
        first, *others = self.estimators_
        width = max(max(layer.components_.shape) for layer in self.estimators_)
        parts = []
        for part in row_slices(rows.shape[0], width):
            codes = decode(others, encode(self.estimators_, rows[part]))
            parts.append(first._score_codes(rows[part], codes))
        return like(joined(parts), X)

    @property
    def _n_features_out(self) -> int:
        return int(self.estimators_[-1]._n_features_out)

    # ---- what anything that takes a fitted model asks it ------------------------

    def _encoding_layers(self) -> list[Layer]:
        """Return what encodes, from the input up."""
        return encoding_layers(self.estimators_)

    def _decoding_layers(self) -> list[DecodingLayer]:
        """Return what decodes, from the code down."""
        return decoding_layers(self.estimators_)

    def _code_size(self) -> int:
        """Return the size of the code that the parameters ask for."""
        return check_stack(self.hidden_layer_sizes)[-1][0]

    def _named_weights(self) -> dict[str, Array]:
        """Return the weights of all layers by their names in a file."""
        return {
            f"{k}.{name}": array
            for k, layer in enumerate(self.estimators_)
            for name, array in layer._named_weights().items()
        }

    def _weights_of_layers(
        self, encoding: Sequence[Affine], decoding: Sequence[Affine]
    ) -> dict[str, Tensor]:
        """Return the weights of such layers by their names in a file."""
        layers = self._layers()
        if not len(layers) == len(encoding) == len(decoding):
            raise ValueError(
                f"The stack has {len(layers)} layers, but was given {len(encoding)} "
                f"that encode and {len(decoding)} that decode."
            )
        # What a layer encodes is decoded in the reverse order.
        parts = zip(layers, encoding, reversed(decoding), strict=True)
        return {
            f"{k}.{name}": tensor
            for k, (layer, *own) in enumerate(parts)
            for name, tensor in layer._weights_of_layers(
                *([one] for one in own)
            ).items()
        }

    def _put_weights(self, arrays: dict[str, Array]) -> None:
        """Become the stack of these weights, if they fit."""
        layers = self._layers()
        known = tuple(f"{k}." for k in range(len(layers)))
        others = [name for name in arrays if not name.startswith(known)]
        check_names(others, [], f"Besides its layers a {type(self).__name__}")
        for k, layer in enumerate(layers):
            own = {
                name.partition(".")[2]: array
                for name, array in arrays.items()
                if name.startswith(f"{k}.")
            }
            layer._put_weights(own, f"Layer {k} of the stack")
        check_layers_meet(layers)
        adopt(
            self,
            {
                "estimators_": layers,
                "n_iter_": 0,
                "n_features_in_": layers[0].n_features_in_,
                "feature_names_in_": None,
                "_training_state": None,
            },
        )

    def _check_whole(self) -> None:
        """Refuse to be a stack whose layers do not fit each other."""
        if not hasattr(self, "estimators_"):
            return
        layers, state = self.estimators_, self._training_state
        check_fitted_layers(layers)
        check_n_features_in(self, layers[0].components_.shape[1])
        if state is not None:
            names = ["above", "n_done", "seed"]
            check_names(state, names, "The progress of a stack")
            check_random_state(state["seed"])
            check_fitted_layers([*layers, *state["above"]])
            n_done = sum(layer._progress is None for layer in layers)
            if state["n_done"] != n_done or len(layers) - n_done > 1:
                raise ValueError("The progress of the stack is not that of its layers.")


def check_fitted_layers(layers: Any) -> None:
    """Refuse what are no layers that encode each other's codes."""
    are_layers = type(layers) is list and all(
        isinstance(layer, ContractiveAutoencoder) and hasattr(layer, "components_")
        for layer in layers
    )
    if not are_layers or not layers:
        raise ValueError("estimators_ of a stack must be a list of fitted layers.")
    check_layers_meet(layers)
