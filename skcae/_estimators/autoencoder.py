"""The basic autoencoder, with and without weight decay."""

from dataclasses import dataclass
from typing import Any, ClassVar

from skcae._estimators.base import BaseAutoencoder
from skcae._estimators.documentation import documented
from skcae._fit.parameters import SAMPLING, STRENGTH


@documented
@dataclass(repr=False, eq=False, kw_only=True)
class Autoencoder(BaseAutoencoder):
    r"""The basic autoencoder, with weight decay if wanted.

    The encoder :math:`f(x) = \varphi(Wx + b)` and the decoder
    :math:`g(h) = s(V^\top h + c)` minimise the mean over samples of

    .. math::

        L(x, g(f(x))) + \lambda \lVert W \rVert_F^2,

    where the reconstruction loss L is summed over features. It is what the contractive
    autoencoder is compared with in [1]_: AE for λ = 0, and AE+wd.

    Parameters
    ----------
    %(n_components)s

    weight_decay : float, default=0.0
        Strength λ of the decay of the encoder's weights W. It is a term of the
        objective, whose gradient is 2λW, and not divided by the number of samples:
        with the identity activation it is the same model as
        `ContractiveAutoencoder(jacobian_penalty=weight_decay)`.

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
    ContractiveAutoencoder : Penalises the encoder's Jacobian instead.
    DenoisingAutoencoder : Reconstructs from a corrupted input.

    References
    ----------
    .. [1] S. Rifai, P. Vincent, X. Muller, X. Glorot and Y. Bengio, "Contractive
       Auto-Encoders: Explicit Invariance During Feature Extraction", ICML 2011.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skcae import Autoencoder
    >>> X = load_digits().data / 16
    >>> autoencoder = Autoencoder(32, weight_decay=1e-3, max_iter=20, tol=0.1)
    >>> autoencoder.fit_transform(X).shape
    (1797, 32)
    """

    weight_decay: float = 0.0
    reconstruction_sampling: float | None = None

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **BaseAutoencoder._parameter_constraints,
        **SAMPLING,
        "weight_decay": [STRENGTH],
    }
