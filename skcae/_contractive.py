"""The contractive autoencoder."""

from numbers import Real
from typing import Any, ClassVar

from sklearn.utils._param_validation import Interval

from skcae._base import BaseAutoencoder

_STRENGTH = Interval(Real, 0, None, closed="left")


class ContractiveAutoencoder(BaseAutoencoder):
    r"""Autoencoder whose code resists small changes of the input.

    The encoder :math:`f(x) = \varphi(Wx + b)` and the decoder
    :math:`g(h) = s(V^\top h + c)` minimise the mean over samples of

    .. math::

        L(x, g(f(x))) + \lambda \lVert J_f(x) \rVert_F^2
                      + \gamma \lVert H_f(x) \rVert_F^2,

    where the reconstruction loss L is summed over features and
    :math:`\lVert J_f(x) \rVert_F^2 = \sum_{ij} (\partial h_j / \partial x_i)^2` is the
    squared Frobenius norm of the encoder's Jacobian [1]_. For one layer with an
    elementwise activation it is
    :math:`\sum_j \varphi'(a_j)^2 \lVert W_j \rVert^2`, computed exactly without ever
    building the Jacobian. Neither term is divided by the number of features or of
    hidden units, so that values of λ carry over from the paper.

    Parameters
    ----------
    n_components : int, default=256
        Number of hidden units.

    jacobian_penalty : float, default=0.1
        Strength λ of the contraction. 0 is the basic autoencoder. It weighs against a
        loss that is summed over features: useful values lie between 0.003 and 1 for
        the cross-entropy of images, and are smaller for squared errors that are
        smaller.

    hessian_penalty : float, default=0.0
        Strength γ of the penalty on the encoder's second derivatives,
        :math:`\lVert H_f(x) \rVert_F^2 = \sum_j \varphi''(a_j)^2 \lVert W_j \rVert^4`,
        the limit of the stochastic term of [2]_ for small noise (whose γ is this one
        divided by the noise variance). Refused for activations without curvature.

    activation : {"sigmoid", "tanh", "relu", "softplus", "elu", "identity"}, \
            default="sigmoid"
        The encoder's elementwise φ. With "identity" the Jacobian penalty is weight
        decay, :math:`\lambda \lVert W \rVert_F^2`; with "relu" and "identity" it gives
        no gradient to the biases.

    loss : {"squared_error", "cross_entropy"}, default="squared_error"
        "squared_error" has a linear decoder and takes any real data.
        "cross_entropy" has a sigmoid decoder and is fitted on data in [0, 1]; it is
        the loss of [1]_.

    tied_weights : bool, default=True
        Whether the decoder's V is the encoder's W. Untied, with an unbounded
        activation, the encoder can shrink and the decoder grow at no cost.

    solver : {"adam", "sgd"}, default="adam"
        What minimises the objective.

    learning_rate : float, default=0.02
        Step size, at its largest.

    learning_rate_schedule : {"linear", "constant"}, default="linear"
        Whether the rate rises over the first tenth of `max_iter` epochs and then falls
        to 0, both linearly, or stays.

    momentum : float, default=0.9
        Momentum of `solver="sgd"`, in [0, 1).

    batch_size : int or "auto", default="auto"
        Rows to a step. "auto" takes all rows if there are fewer than 64, else 100.
        The last batch of an epoch may be smaller.

    max_iter : int, default=200
        Largest number of epochs.

    tol : float, default=1e-3
        Training has stalled when `n_iter_no_change` epochs have together lowered the
        objective by no more than `tol` times the objective of the first epoch. With
        the constant schedule it then stops. The linear one runs half of `max_iter` in
        any case, and after a stall lowers the rate to 0 over another
        `n_iter_no_change` epochs.

    early_stopping : bool, default=False
        Whether `tol` watches the objective, penalties included, of held-out data
        instead, and the weights of the epoch that was best on it are kept. To stop in
        the first half of `max_iter`, take the constant schedule.

    validation_fraction : float, default=0.1
        Fraction of the rows to hold out for early stopping when `fit` gets no `X_val`.

    n_iter_no_change : int, default=5
        Number of epochs that `tol` looks back.

    shuffle : bool, default=True
        Whether each epoch takes the rows in a new order.

    warm_start : bool, default=False
        Whether `fit` goes on from the fitted weights and solver state.

    device : str or torch.device, default="cpu"
        Where to compute, resolved in `fit`. Fitted attributes are NumPy arrays
        whatever the device, and a model fitted on a device that is missing here
        transforms on the processor. Dense data that fits in half of the memory that
        is free on a CUDA device moves there once, other data by the batch.

    random_state : int, RandomState instance or None, default=None
        Determines the initial weights, the order of the rows and the held-out ones.
        Pass an int for reproducible results. None draws a fresh seed from the
        operating system; NumPy's and torch's global generators are never touched.

    verbose : int, default=0
        If positive, show the epochs: with scikit-learn's `ProgressBar` if rich is
        installed and no meta-estimator runs the fit, else on the "skcae" logger.

    Attributes
    ----------
    components_ : ndarray of shape (n_components, n_features)
        The encoder's weights W.

    intercept_hidden_ : ndarray of shape (n_components,)
        The encoder's biases b.

    intercept_visible_ : ndarray of shape (n_features,)
        The decoder's biases c.

    decoder_components_ : ndarray of shape (n_components, n_features)
        The decoder's weights V. Only with `tied_weights=False`.

    n_iter_ : int
        Number of epochs run, those that `warm_start` and `partial_fit` went on from
        included.

    loss_curve_ : ndarray of shape (n_iter_,)
        The mean training objective of each epoch, as its steps saw it.

    validation_loss_curve_ : ndarray
        The objective of the held-out data after each epoch of the last fit. Only with
        `early_stopping=True`.

    n_features_in_ : int
        Number of features seen during fit.

    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, if X had any.

    See Also
    --------
    sklearn.neural_network.BernoulliRBM : Another one-layer feature learner.
    sklearn.decomposition.PCA : What a linear autoencoder learns.

    References
    ----------
    .. [1] S. Rifai, P. Vincent, X. Muller, X. Glorot and Y. Bengio, "Contractive
       Auto-Encoders: Explicit Invariance During Feature Extraction", ICML 2011.

    .. [2] S. Rifai, G. Mesnil, P. Vincent, X. Muller, Y. Bengio, Y. Dauphin and
       X. Glorot, "Higher Order Contractive Auto-Encoder", ECML PKDD 2011.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skcae import ContractiveAutoencoder
    >>> X = load_digits().data / 16
    >>> cae = ContractiveAutoencoder(
    ...     n_components=32, loss="cross_entropy", max_iter=20, tol=0.1, random_state=0
    ... )
    >>> cae.fit(X)
    ContractiveAutoencoder(loss='cross_entropy', max_iter=20, n_components=32,
                           random_state=0, tol=0.1)
    >>> cae.transform(X).shape
    (1797, 32)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **BaseAutoencoder._parameter_constraints,
        "jacobian_penalty": [_STRENGTH],
        "hessian_penalty": [_STRENGTH],
    }

    def __init__(
        self,
        n_components: int = 256,
        *,
        jacobian_penalty: float = 0.1,
        hessian_penalty: float = 0.0,
        activation: str = "sigmoid",
        loss: str = "squared_error",
        tied_weights: bool = True,
        solver: str = "adam",
        learning_rate: float = 0.02,
        learning_rate_schedule: str = "linear",
        momentum: float = 0.9,
        batch_size: int | str = "auto",
        max_iter: int = 200,
        tol: float = 1e-3,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 5,
        shuffle: bool = True,
        warm_start: bool = False,
        device: Any = "cpu",
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.n_components = n_components
        self.jacobian_penalty = jacobian_penalty
        self.hessian_penalty = hessian_penalty
        self.activation = activation
        self.loss = loss
        self.tied_weights = tied_weights
        self.solver = solver
        self.learning_rate = learning_rate
        self.learning_rate_schedule = learning_rate_schedule
        self.momentum = momentum
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.tol = tol
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.shuffle = shuffle
        self.warm_start = warm_start
        self.device = device
        self.random_state = random_state
        self.verbose = verbose
