"""The regressor that starts at an encoder's weights."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from sklearn.base import RegressorMixin
from torch import Tensor

from skcae._core.data.arrays import Array
from skcae._encoders.namespaces import like
from skcae._estimators.documentation import documented
from skcae._estimators.finetuned import BaseFineTuned
from skcae._fit.labels import check_values
from skcae._fit.target_units import TargetUnits, standard_units
from skcae.losses import LOSSES, Loss


@documented
@dataclass(repr=False, eq=False, kw_only=True)
class FineTunedRegressor(RegressorMixin, BaseFineTuned):
    r"""Regressor that starts at an encoder's weights and is fine-tuned on values.

    A multi-layer perceptron whose hidden layers are those of the encoder, with a fresh
    linear output layer, all of it trained to minimise the weighted mean of the squared
    error. It begins at the mean, and its steps are in units of the targets' deviation,
    whatever their scale.

    Parameters
    ----------
    encoder : estimator
        Where the hidden layers come from: an autoencoder of skcae, a `StackedCAE`,
        scikit-learn's `BernoulliRBM`, or a `Pipeline` that ends with some of them. It
        is cloned and fitted, unless it is in scikit-learn's `FrozenEstimator`. The
        pipeline's steps before the first encoder, such as scalers, are fixed
        preprocessing.

    %(tangents)s

    %(solver of regression)s

    %(stopping of fine-tuning)s

    %(running of fine-tuning)s

    Attributes
    ----------
    %(fine-tuned layers)s

    %(fine-tuned curves)s

    validation_error_curve_ : ndarray of shape (`n_iter_`,)
        The mean squared error of the held-out data after each epoch, of several outputs
        their mean too; of rows held out from X it is weighted as they are. Only with
        `early_stopping=True`.

    %(fine-tuned record)s

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
    >>> regressor.fit(X, y).score(X, y) > 0.4
    True
    """

    learning_rate: float = 0.01
    encoder_rate_factor: float | str = 1.0
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
        return like(Z[:, 0] if Z.shape[1] == 1 else Z, X)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    # ---- what the outputs mean --------------------------------------------------

    _scaled_too: ClassVar[str] = ", and y by a TransformedTargetRegressor"

    def _loss(self, scratch: Any) -> Loss:
        return LOSSES["squared_error"]

    def _error(self, loss: Loss, targets: Tensor, outputs: Tensor) -> Tensor:
        return loss.elementwise(targets, outputs).mean(1)

    def _units(self, targets: Array, weights: Array | None) -> TargetUnits:
        return standard_units(targets, weights)

    def _targets(self, scratch: Any, y: Any) -> tuple[Array, Array]:
        y = check_values(scratch, y)
        # In float16 their squares would overflow.
        return y, y.reshape(len(y), -1).astype(np.float64)

    def _held_out_targets(self, scratch: Any, y: Any) -> tuple[Array, Array]:
        return self._targets(scratch, y)
