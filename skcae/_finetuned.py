"""Networks that start at an encoder's weights and are fine-tuned."""

import warnings
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from scipy.special import expit, softmax
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.model_selection import train_test_split
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.class_weight import compute_class_weight
from torch import Tensor

from skcae._core.arrays import Array
from skcae._documentation import documented
from skcae._epochs import level_of_caller
from skcae._labels import (
    check_class_weights,
    check_labels,
    check_values,
    known_labels,
    looks_unlabelled,
)
from skcae._tuning import BaseFineTuned
from skcae._validation import (
    check_can_be_split,
)
from skcae.losses import LOG_SOFTMAX, LOSSES, Loss


@documented
@dataclass(repr=False, eq=False, kw_only=True)
class FineTunedClassifier(ClassifierMixin, BaseFineTuned):
    r"""Classifier that starts at an encoder's weights and is fine-tuned on labels.

    A multi-layer perceptron whose hidden layers are those of the encoder, with a fresh
    linear output layer, all of it trained to minimise the weighted mean of the
    negative log-likelihood: a softmax over the classes, or for two classes a sigmoid.
    It is how the contractive autoencoder's features are judged in [1]_. With a
    `tangent_penalty` it is the manifold tangent classifier [2]_.

    Parameters
    ----------
    encoder : estimator
        Where the hidden layers come from: an autoencoder of skcae, a `StackedCAE`,
        scikit-learn's `BernoulliRBM`, or a `Pipeline` that ends with some of them. It
        is cloned and fitted, unless it is in scikit-learn's `FrozenEstimator`. The
        pipeline's steps before the first encoder, such as scalers, are fixed
        preprocessing.

    %(tangents)s

    class_weight : dict, "balanced" or None, default=None
        Weights of the classes in fine-tuning, by which those of the samples are
        multiplied. "balanced" makes them inversely proportional to the classes'
        frequencies, weighted by the samples' weights.

    %(solver of fine-tuning)s

    %(stopping of fine-tuning)s

    %(running of fine-tuning)s

    Attributes
    ----------
    encoder_ : estimator
        The encoder before fine-tuning.

    coefs_ : list of ndarray of shape (n_inputs, n_outputs)
        The weights of each layer, from the input up, the output layer last.

    intercepts_ : list of ndarray of shape (n_outputs,)
        The biases of each layer.

    classes_ : ndarray of shape (n_classes,)
        The labels.

    loss_curve_ : ndarray of shape (`n_iter_`,)
        The mean objective of each epoch of fine-tuning, as its steps saw it.

    validation_error_curve_ : ndarray of shape (`n_iter_`,)
        The share of the held-out data that is misclassified after each epoch; of rows
        held out from X it is weighted as they are. Only with `early_stopping=True`.

    n_iter_ : int
        Number of epochs of fine-tuning.

    n_features_in_ : int
        Number of features seen during fit.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, if X had any.

    See Also
    --------
    FineTunedRegressor : The same for values.
    skcae.inspection.tangent_vectors : The tangents.
    sklearn.neural_network.MLPClassifier : Starts at random weights.

    Notes
    -----
    With a `tangent_penalty` of λ, what is minimised is the weighted mean over rows of

    .. math:: L(x) + \lambda \sum_{u \in B_x}
        \Bigl\lVert \frac{\partial o}{\partial x} u \Bigr\rVert^2,

    where o are the probabilities of the classes: for two classes the sigmoid that is
    the probability of `classes_[1]`, as in [2]_, and for more the softmax. The tangents
    B_x are the `n_tangents` leading right singular vectors of the Jacobian of
    `encoder_` at x, the directions to which its code responds most and which the
    label is not to respond to. Those beyond its rank do not count. They are computed
    once, before fine-tuning, for the rows that it trains on, and x is what the first
    encoder takes: after the preprocessing. The derivatives along them and the gradient
    are exact. The products of a step have 1 + `n_tangents` times as many columns.

    References
    ----------
    .. [1] S. Rifai, P. Vincent, X. Muller, X. Glorot and Y. Bengio, "Contractive
       Auto-Encoders: Explicit Invariance During Feature Extraction", ICML 2011.
    .. [2] S. Rifai, Y. Dauphin, P. Vincent, Y. Bengio and X. Muller, "The Manifold
       Tangent Classifier", NIPS 2011.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.model_selection import train_test_split
    >>> from skcae import ContractiveAutoencoder, FineTunedClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> X_train, X_test, y_train, y_test = train_test_split(X / 16, y, random_state=0)
    >>> encoder = ContractiveAutoencoder(64, max_iter=20, tol=0.1, random_state=0)
    >>> classifier = FineTunedClassifier(
    ...     encoder, max_iter=40, tol=0.1, random_state=0
    ... )
    >>> classifier.fit(X_train, y_train).score(X_test, y_test) > 0.9
    True

    With few labels, and an encoder of all rows:

    >>> few = FineTunedClassifier(
    ...     encoder, tangent_penalty=0.3, n_tangents=8, tol=0.1, random_state=0
    ... )
    >>> few.fit(X_train[:100], y_train[:100], X_unlabeled=X_train[100:])
    FineTunedClassifier(...)
    >>> few.score(X_test, y_test) > 0.8
    True
    """

    class_weight: Any = None
    learning_rate: float = 0.01
    max_iter: int = 100

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **BaseFineTuned._parameter_constraints,
        "class_weight": [dict, StrOptions({"balanced"}), None],
    }

    def decision_function(self, X: Any) -> np.ndarray:
        """Compute the network's outputs before the softmax or sigmoid.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data.

        Returns
        -------
        scores : ndarray of shape (n_samples, n_classes), or (n_samples,) for two
            The outputs; with two classes that of `classes_[1]`.
        """
        Z = self._outputs(X)
        return Z if len(self.classes_) > 2 else Z[:, 0]

    def predict_proba(self, X: Any) -> np.ndarray:
        """Compute the probability of each class.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data.

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_classes)
            In the order of `classes_`.
        """
        Z = self.decision_function(X)
        if Z.ndim == 1:
            return np.column_stack([expit(-Z), expit(Z)])
        probabilities: np.ndarray = softmax(Z, axis=1)
        return probabilities

    def predict(self, X: Any) -> np.ndarray:
        """Predict the label of each sample.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data.

        Returns
        -------
        y : ndarray of shape (n_samples,)
            The most probable labels.
        """
        Z = self.decision_function(X)
        chosen = Z.argmax(1) if Z.ndim == 2 else (Z > 0).astype(int)
        labels: np.ndarray = self.classes_[chosen]
        return labels

    # ---- what the outputs mean --------------------------------------------------

    def _loss(self, n_outputs: int) -> Loss:
        return LOSSES["cross_entropy"] if n_outputs == 1 else LOG_SOFTMAX

    def _error(self, targets: Tensor, outputs: Tensor) -> Tensor:
        if outputs.shape[1] == 1:
            wrong = (outputs[:, 0] > 0) != (targets[:, 0] > 0.5)
        else:
            wrong = outputs.argmax(1) != targets.argmax(1)
        return wrong.to(outputs.dtype)

    def _targets(self, scratch: Any, y: Any) -> tuple[Array, Array]:
        y, scratch.classes_ = check_labels(scratch, y)
        if looks_unlabelled(y, scratch.classes_):
            warnings.warn(
                f"{np.count_nonzero(y == -1)} of {len(y)} rows have the label -1, "
                "which is learnt as a class like the others. If it marks rows without "
                "a label, take them out of X and y and pass them as X_unlabeled.",
                UserWarning,
                stacklevel=level_of_caller(),
            )
        return y, indicators(y, scratch.classes_)

    def _learnt(self, scratch: Any) -> dict[str, Any]:
        return {"classes_": scratch.classes_}

    def _held_out_targets(self, scratch: Any, y: Any) -> tuple[Array, Array]:
        y = known_labels(scratch, y, scratch.classes_)
        return y, indicators(y, scratch.classes_)

    def _fine_tuning_weights(
        self, y: Array, sample_weight: Array | None
    ) -> Array | None:
        if self.class_weight is None:
            return sample_weight
        weights = np.ones(len(y)) if sample_weight is None else sample_weight.copy()
        # A class of which no row counts has no frequency.
        rows = weights > 0 if self.class_weight == "balanced" else slice(None)
        classes, positions = np.unique(y[rows], return_inverse=True)
        weights[rows] *= compute_class_weight(
            self.class_weight, classes=classes, y=y[rows], sample_weight=weights[rows]
        )[positions]
        return check_class_weights(weights)

    def _hold_out(
        self, rows: Array, y: Array, generator: torch.Generator
    ) -> tuple[Array, Array]:
        check_can_be_split(len(rows))
        try:
            train, test = train_test_split(
                rows,
                test_size=self.validation_fraction,
                stratify=y[rows],
                random_state=generator.initial_seed() % 2**32,
            )
        except ValueError as error:
            raise ValueError(
                "early_stopping=True holds out a part of each class, which cannot be: "
                f"{error}. Pass X_val and y_val, or set early_stopping=False."
            ) from error
        return np.sort(train), np.sort(test)


@documented
@dataclass(repr=False, eq=False, kw_only=True)
class FineTunedRegressor(RegressorMixin, BaseFineTuned):
    r"""Regressor that starts at an encoder's weights and is fine-tuned on values.

    A multi-layer perceptron whose hidden layers are those of the encoder, with a fresh
    linear output layer, all of it trained to minimise the weighted mean of the squared
    error. Values of a large scale are better standardised first, as by
    `sklearn.compose.TransformedTargetRegressor`.

    Parameters
    ----------
    encoder : estimator
        Where the hidden layers come from: an autoencoder of skcae, a `StackedCAE`,
        scikit-learn's `BernoulliRBM`, or a `Pipeline` that ends with some of them. It
        is cloned and fitted, unless it is in scikit-learn's `FrozenEstimator`. The
        pipeline's steps before the first encoder, such as scalers, are fixed
        preprocessing.

    %(tangents)s

    %(solver of fine-tuning)s

    %(stopping of fine-tuning)s

    %(running of fine-tuning)s

    Attributes
    ----------
    encoder_ : estimator
        The encoder before fine-tuning.

    coefs_ : list of ndarray of shape (n_inputs, n_outputs)
        The weights of each layer, from the input up, the output layer last.

    intercepts_ : list of ndarray of shape (n_outputs,)
        The biases of each layer.

    loss_curve_ : ndarray of shape (`n_iter_`,)
        The mean objective of each epoch of fine-tuning, as its steps saw it.

    validation_error_curve_ : ndarray of shape (`n_iter_`,)
        The mean squared error of the held-out data after each epoch, of several outputs
        their mean too; of rows held out from X it is weighted as they are. Only with
        `early_stopping=True`.

    n_iter_ : int
        Number of epochs of fine-tuning.

    n_features_in_ : int
        Number of features seen during fit.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, if X had any.

    See Also
    --------
    FineTunedClassifier : The same for labels.

    Notes
    -----
    With a `tangent_penalty` of λ, what is minimised is the weighted mean over rows of

    .. math:: \lVert o - y \rVert^2 + \lambda \sum_{u \in B_x}
        \Bigl\lVert \frac{\partial o}{\partial x} u \Bigr\rVert^2,

    the penalty of the manifold tangent classifier [1]_ on the network's outputs o. See
    `FineTunedClassifier` for the tangents B_x.

    References
    ----------
    .. [1] S. Rifai, Y. Dauphin, P. Vincent, Y. Bengio and X. Muller, "The Manifold
       Tangent Classifier", NIPS 2011.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skcae import ContractiveAutoencoder, FineTunedRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> encoder = make_pipeline(
    ...     StandardScaler(),
    ...     ContractiveAutoencoder(32, max_iter=40, tol=0.1, random_state=0),
    ... )
    >>> regressor = FineTunedRegressor(encoder, max_iter=30, tol=0.1, random_state=0)
    >>> regressor.fit(X, y / 100).score(X, y / 100) > 0.4
    True
    """

    learning_rate: float = 0.01
    max_iter: int = 100

    def predict(self, X: Any) -> np.ndarray:
        """Predict the value of each sample.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            The network's outputs.
        """
        Z = self._outputs(X)
        return Z[:, 0] if Z.shape[1] == 1 else Z

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    # ---- what the outputs mean --------------------------------------------------

    def _loss(self, n_outputs: int) -> Loss:
        return LOSSES["squared_error"]

    def _error(self, targets: Tensor, outputs: Tensor) -> Tensor:
        return LOSSES["squared_error"].elementwise(targets, outputs).mean(1)

    def _targets(self, scratch: Any, y: Any) -> tuple[Array, Array]:
        y = check_values(scratch, y)
        return y, y.reshape(len(y), -1)

    def _held_out_targets(self, scratch: Any, y: Any) -> tuple[Array, Array]:
        return self._targets(scratch, y)


def indicators(y: Array, classes: Array) -> Array:
    """Return 1 for each row's class and 0 for others; one column for two classes."""
    is_class: Array = (y[:, None] == classes).astype(np.float32)
    return is_class if len(classes) > 2 else is_class[:, 1:]
