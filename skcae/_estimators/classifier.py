"""The classifier that starts at an encoder's weights."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.base import ClassifierMixin
from sklearn.utils._param_validation import StrOptions
from torch import Tensor
from torch.nn import functional

from skcae._core.data.arrays import Array, array_of, to_array
from skcae._encoders.namespaces import labels_like, like
from skcae._estimators.documentation import documented
from skcae._estimators.finetuned import BaseFineTuned
from skcae._fit.held_out import split_by_class
from skcae._fit.labels import (
    check_indicators,
    check_labels,
    check_labels_differ,
    indicators,
    known_labels,
    n_columns,
    weights_by_class,
)
from skcae.losses import LOG_SOFTMAX, LOSSES, ONE_VERSUS_REST, Loss


@documented
@dataclass(repr=False, eq=False, kw_only=True)
class FineTunedClassifier(ClassifierMixin, BaseFineTuned):
    r"""Classifier that starts at an encoder's weights and is fine-tuned on labels.

    A multi-layer perceptron whose hidden layers are those of the encoder, with a fresh
    linear output layer, all of it trained to minimise the weighted mean of the
    negative log-likelihood: a softmax over the classes, or for two classes a sigmoid.
    Where y is an indicator matrix, of rows that have any number of labels, it is a
    sigmoid for each label, and the sum of their log-likelihoods.
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

    output : {"softmax", "sigmoid"}, default="softmax"
        What the outputs of more than two classes are. "sigmoid" is one for each class,
        trained by the sum of their cross-entropies as in [2]_: the probabilities are
        the sigmoids divided by their sum. Two classes and the columns of an indicator
        matrix have sigmoids in any case.

    %(tangents)s

    class_weight : dict, list of dicts, "balanced" or None, default=None
        Weights of the classes in fine-tuning, by which those of the samples are
        multiplied. "balanced" makes them inversely proportional to the classes'
        frequencies, weighted by the samples' weights. Where y is an indicator matrix,
        a list has a dict of the weights of 0 and 1 for each column, and those of all
        columns are multiplied.

    %(solver of classification)s

    %(stopping of fine-tuning)s

    %(running of fine-tuning)s

    Attributes
    ----------
    %(fine-tuned layers)s

    classes_ : ndarray of shape (n_classes,)
        The labels. Where y is an indicator matrix, the numbers of its columns.

    multilabel_ : bool
        Whether y was an indicator matrix.

    output_ : str
        "softmax" or "sigmoid".

    %(fine-tuned curves)s

    validation_error_curve_ : ndarray of shape (`n_iter_`,)
        The share of the held-out data that is misclassified after each epoch, where
        y is an indicator matrix in any of its labels; of rows held out from X it is
        weighted as they are. Only with `early_stopping=True`.

    %(fine-tuned record)s

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
    the probability of `classes_[1]`, as in [2]_, for more the softmax or with
    `output="sigmoid"` the sigmoids, and for an indicator matrix the sigmoids of its
    labels. With `tangent_output="linear"` they are the outputs before. The tangents
    B_x are the `n_tangents` leading right singular vectors of the Jacobian of
    `encoder_` at x, the directions to which its code responds most and which the
    label is not to respond to. Those beyond its rank do not count. They are computed
    once, before fine-tuning, for the rows that it trains on, and x is what the first
    encoder takes: after the preprocessing. The derivatives along them and the gradient
    are exact. The products of a step have 1 + `n_tangents` times as many columns.

    The penalty asks for no label. With `n_tangent_rows` it is that of rows which are
    drawn from all there are, and the mean over those of a step stands in the place of
    the sum at x.

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

    output: str = "softmax"
    class_weight: Any = None
    learning_rate: float = 0.03
    max_iter: int = 100

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **BaseFineTuned._parameter_constraints,
        "output": [StrOptions({"softmax", "sigmoid"})],
        "class_weight": [dict, list, StrOptions({"balanced"}), None],
    }

    # Those of models from before there were any.
    multilabel_: ClassVar[bool] = False
    output_: ClassVar[str] = "softmax"

    def decision_function(self, X: Any) -> np.ndarray:
        """Compute the network's outputs before the softmax or sigmoid.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data.

        Returns
        -------
        scores : ndarray of shape (n_samples, n_classes), or (n_samples,) for two
            The outputs; with two classes that of `classes_[1]`. Where y is an
            indicator matrix, always a column for each label.
        """
        return like(self._scores(X), X)

    def predict_proba(self, X: Any) -> np.ndarray:
        """Compute the probability of each class, or of each label.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data.

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_classes)
            In the order of `classes_`. Where y is an indicator matrix, each label's own
            probability: a row's do not sum to 1.
        """
        return self._of_outputs(X, torch.sigmoid, torch.softmax)

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Compute the logarithm of the probability of each class, or of each label.

        It is finite where a probability is too small for its type.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data.

        Returns
        -------
        log_probabilities : ndarray of shape (n_samples, n_classes)
            In the order of `classes_`.
        """
        return self._of_outputs(X, functional.logsigmoid, torch.log_softmax)

    def predict(self, X: Any) -> np.ndarray:
        """Predict the label of each sample.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_classes)
            The most probable labels; where y is an indicator matrix, 1 for each label
            that is more probable than not.
        """
        Z = self._scores(X)
        is_one_of_many = Z.ndim == 2 and not self.multilabel_
        found = Z.argmax(1) if is_one_of_many else Z > 0
        chosen = np.asarray(array_of(found), dtype=int)
        return labels_like(chosen if self.multilabel_ else self.classes_[chosen], X)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags

    # ---- what the outputs mean --------------------------------------------------

    def _of_outputs(
        self, X: Any, sigmoid: Callable[..., Any], softmax: Callable[..., Any]
    ) -> np.ndarray:
        """Make probabilities, or their logarithms, of the outputs."""
        scores = self._scores(X)
        Z = scores if isinstance(scores, Tensor) else torch.from_numpy(scores)
        if Z.ndim == 1:
            made = sigmoid(torch.stack([-Z, Z], 1))
        elif self.multilabel_:
            made = sigmoid(Z)
        else:
            # The softmax of logarithms divides by the sum.
            is_softmax = self.output_ == "softmax"
            made = softmax(Z if is_softmax else functional.logsigmoid(Z), 1)
        return like(made, X) if isinstance(scores, Tensor) else to_array(made)

    def _scores(self, X: Any) -> Any:
        """Return the outputs, of a single one without its axis, as array or tensor."""
        Z = self._outputs(X)
        return Z[:, 0] if Z.shape[1] == 1 else Z

    def _loss(self, scratch: Any) -> Loss:
        if len(scratch.classes_) == 2 or scratch.multilabel_:
            return LOSSES["cross_entropy"]
        return LOG_SOFTMAX if self.output == "softmax" else ONE_VERSUS_REST

    def _error(self, loss: Loss, targets: Tensor, outputs: Tensor) -> Tensor:
        if loss.one_of_many:
            wrong = outputs.argmax(1) != targets.argmax(1)
        else:
            wrong = ((outputs > 0) != (targets > 0.5)).any(1)
        return wrong.to(outputs.dtype)

    def _targets(self, scratch: Any, y: Any) -> tuple[Array, Array]:
        scratch.multilabel_ = n_columns(y) > 1
        if scratch.multilabel_:
            y = check_indicators(scratch, y)
            check_labels_differ(y)
            scratch.classes_ = np.arange(y.shape[1])
            return y, y.astype(np.float32)
        y, scratch.classes_ = check_labels(scratch, y)
        return y, indicators(y, scratch.classes_)

    def _learnt(self, scratch: Any) -> dict[str, Any]:
        is_softmax = self._loss(scratch) is LOG_SOFTMAX
        return {
            "classes_": scratch.classes_,
            "multilabel_": scratch.multilabel_,
            "output_": "softmax" if is_softmax else "sigmoid",
        }

    def _held_out_targets(self, scratch: Any, y: Any) -> tuple[Array, Array]:
        if scratch.multilabel_:
            y = check_indicators(scratch, y)
            return y, y.astype(np.float32)
        y = known_labels(scratch, y, scratch.classes_)
        return y, indicators(y, scratch.classes_)

    def _fine_tuning_weights(
        self, y: Array, sample_weight: Array | None
    ) -> Array | None:
        if self.class_weight is None:
            return sample_weight
        weights = np.ones(len(y)) if sample_weight is None else sample_weight
        return weights_by_class(self.class_weight, y, weights)

    def _hold_out(
        self, rows: Array, y: Array, generator: torch.Generator
    ) -> tuple[Array, Array]:
        if y.ndim == 2:
            return super()._hold_out(rows, y, generator)
        return split_by_class(
            rows, y, self.validation_fraction, generator.initial_seed()
        )

    def _check_outputs(self, n_outputs: int) -> None:
        """Refuse labels of another number or kind than the outputs stand for."""
        classes, multilabel = self.classes_, self.multilabel_
        n_classes = len(classes) if type(classes) is np.ndarray else 0
        are_columns = n_outputs > 1 and np.array_equal(classes, np.arange(n_outputs))
        if type(multilabel) is not bool or (multilabel and not are_columns):
            raise ValueError(
                f"multilabel_ is {multilabel!r}, with classes {classes!r:.80} for "
                f"{n_outputs} outputs."
            )
        if self.output_ not in ("softmax", "sigmoid"):
            raise ValueError(f"output_ is {self.output_!r:.80}.")
        if n_classes != (2 if n_outputs == 1 else n_outputs):
            raise ValueError(f"It has {n_classes} classes for {n_outputs} outputs.")
