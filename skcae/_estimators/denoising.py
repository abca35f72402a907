"""The denoising autoencoder."""

from dataclasses import dataclass
from typing import Any, ClassVar

from skcae._core.steps.reconstruction import Corruption
from skcae._estimators.base import BaseAutoencoder
from skcae._estimators.documentation import documented
from skcae._fit.parameters import NOISE, SAMPLING, corruption_of


@documented
@dataclass(repr=False, eq=False, kw_only=True)
class DenoisingAutoencoder(BaseAutoencoder):
    r"""Autoencoder that reconstructs its input from a corrupted copy of it.

    The encoder :math:`f(x) = \varphi(Wx + b)` and the decoder
    :math:`g(h) = s(V^\top h + c)` minimise the mean over samples of

    .. math::

        \mathbb{E}_{\tilde x \sim q(\tilde x | x)} L(x, g(f(\tilde x))),

    where the reconstruction loss L is summed over features [1]_. The corruption is
    drawn afresh each time a row is presented in training. Nothing else is corrupted:
    `transform`, `score` and their kin take X as it is.

    Parameters
    ----------
    %(n_components)s

    corruption : {"gaussian", "masking"}, default="gaussian"
        What corrupts the input: "gaussian" adds independent normal noise to each
        feature (DAE-g of [2]_), "masking" sets each feature to 0 or leaves it, at
        random (DAE-b).

    corruption_level : float, default=0.25
        For "gaussian" the standard deviation of the noise, in the units of X; for
        "masking" the probability with which a feature is set to 0.

    %(noise on device)s

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
    %(attributes)s

    See Also
    --------
    ContractiveAutoencoder : Penalises the encoder's Jacobian instead.
    Autoencoder : The same without corruption.

    Notes
    -----
    With fresh noise a row of weight 2 is the row twice only on average: the two would
    be corrupted each in its own way. With `early_stopping` the held-out rows are
    corrupted too, in the same way after each epoch.

    References
    ----------
    .. [1] P. Vincent, H. Larochelle, I. Lajoie, Y. Bengio and P.-A. Manzagol, "Stacked
       Denoising Autoencoders: Learning Useful Representations in a Deep Network with a
       Local Denoising Criterion", JMLR 11, 2010.

    .. [2] S. Rifai, P. Vincent, X. Muller, X. Glorot and Y. Bengio, "Contractive
       Auto-Encoders: Explicit Invariance During Feature Extraction", ICML 2011.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skcae import DenoisingAutoencoder
    >>> X = load_digits().data / 16
    >>> autoencoder = DenoisingAutoencoder(
    ...     32, corruption="masking", max_iter=20, tol=0.1
    ... )
    >>> autoencoder.fit_transform(X).shape
    (1797, 32)
    """

    corruption: str = "gaussian"
    corruption_level: float = 0.25
    noise_on_device: bool = False
    reconstruction_sampling: float | None = None

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **BaseAutoencoder._parameter_constraints,
        **NOISE,
        **SAMPLING,
    }

    def _corruption(self) -> Corruption:
        return corruption_of(self)

    def _fills_zeros(self) -> tuple[str, str] | None:
        if self.corruption == "masking":
            return None
        return f"corruption={self.corruption!r}", "Take corruption='masking'"
