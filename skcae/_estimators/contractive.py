"""The contractive autoencoder."""

from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, ClassVar

from sklearn.utils._param_validation import Interval

from skcae._core.steps.reconstruction import Corruption
from skcae._estimators.base import BaseAutoencoder
from skcae._estimators.documentation import documented
from skcae._fit.parameters import (
    SAMPLING,
    STRENGTH,
    WHERE_NOISE_IS_DRAWN,
    noise_of,
)
from skcae.corruptions import gaussian
from skcae.penalties import PENALTIES, Penalty, SampledHessianPenalty

# What the parameters may be that are one for all layers of a stack.
HESSIAN_SAMPLES: dict[str, list[Any]] = {
    # Its square is neither 0 nor infinite.
    "hessian_noise": [Interval(Real, 1e-150, 1e150, closed="both"), None],
    "n_hessian_samples": [Interval(Integral, 1, None, closed="left")],
    **WHERE_NOISE_IS_DRAWN,
}


@documented
@dataclass(repr=False, eq=False, kw_only=True)
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
    %(n_components)s

    jacobian_penalty : float, default=0.1
        Strength λ of the contraction. 0 is the basic autoencoder. It weighs against a
        loss that is summed over features: useful values lie between 0.003 and 3 for
        the cross-entropy of images, and are smaller for squared errors that are
        smaller.

    hessian_penalty : float, default=0.0
        Strength γ of the penalty on the encoder's second derivatives,
        :math:`\lVert H_f(x) \rVert_F^2 = \sum_j \varphi''(a_j)^2 \lVert W_j \rVert^4`.
        Refused for activations without curvature.

    %(Hessian samples)s

    %(layer)s

    %(bias spread)s

    %(sampling)s

    %(solver)s

    %(stopping)s

    %(warm start)s

    %(data parallel)s

    %(running)s

    Attributes
    ----------
    %(attributes)s

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

    jacobian_penalty: float = 0.1
    hessian_penalty: float = 0.0
    hessian_noise: float | None = None
    n_hessian_samples: int = 4
    noise_on_device: bool = False
    reconstruction_sampling: float | None = None

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **BaseAutoencoder._parameter_constraints,
        **SAMPLING,
        **HESSIAN_SAMPLES,
        "jacobian_penalty": [STRENGTH],
        "hessian_penalty": [STRENGTH],
    }

    def _penalties(self) -> dict[str, Penalty]:
        if self.hessian_noise is None:
            return PENALTIES
        noise = float(self.hessian_noise)
        sampled = SampledHessianPenalty(noise, int(self.n_hessian_samples))
        return {**PENALTIES, "hessian_penalty": sampled}

    def _corruption(self) -> Corruption | None:
        noise = self.hessian_noise
        if noise is None or not self.hessian_penalty:
            return None
        return noise_of(self, gaussian, noise)

    def _fills_zeros(self) -> tuple[str, str] | None:
        if self._corruption() is None:
            return None
        return "hessian_noise", "Set hessian_noise=None"
