"""The contractive autoencoder of modules that the user has written."""

from dataclasses import dataclass, field
from numbers import Integral
from typing import Any, ClassVar

from sklearn.utils._param_validation import Interval, StrOptions

from skcae._core.data.arrays import Array
from skcae._core.layers.module import ModuleArchitecture
from skcae._estimators.documentation import documented
from skcae._estimators.network import BaseNetwork
from skcae.activations import ACTIVATIONS


@documented
@dataclass(repr=False, eq=False, kw_only=True)
class ModuleAutoencoder(BaseNetwork):
    r"""Contractive autoencoder of torch modules of one's own.

    Encoder f and decoder g minimise the mean over samples of

    .. math::

        L(x, g(f(x))) + \lambda \lVert J_f(x) \rVert_F^2
                      + \mu \lVert J_g(f(x)) \rVert_F^2

    with the Jacobian of the whole encoder [1]_, whatever it is made of.

    Parameters
    ----------
    encoder : callable or None, default=None
        A function that takes the number of features, and returns a
        `torch.nn.Module` from rows (n, n_features) to codes (n, ...). To be put
        into a file it has to be importable, as a function of a module is. None is one
        dense layer, of `n_components` units with this `activation`.

    decoder : callable or None, default=None
        A function that takes the number of features too, and returns a module from
        codes, flat (n, code size), to pre-outputs (n, n_features): the output of
        `loss="cross_entropy"`, a sigmoid, is not a part of it. None is one dense linear
        layer.

    n_components : int, default=256
        The units of a dense encoder.

    activation : str, default="sigmoid"
        That of a dense encoder: "sigmoid", "tanh", "relu", "softplus", "elu" or
        "identity".

    jacobian_penalty : float, default=0.1
        Strength λ of the contraction of the encoder.

    %(network penalties)s

    loss : {"squared_error", "cross_entropy"}, default="squared_error"
        "squared_error" takes any real data, "cross_entropy" data in [0, 1].

    %(solver)s

    %(stopping)s

    %(warm start)s

    %(data parallel)s

    %(running)s

    Attributes
    ----------
    parameters_ : dict of str to ndarray
        The parameters of the modules by their names in them, after "encoder." or
        "decoder.".

    %(network record)s

    See Also
    --------
    DeepCAE : Several dense layers.
    skcae.functional.jacobian_penalty : The penalty, for a training loop of one's own.

    Notes
    -----
    A module is trained in evaluation mode, as it is used afterwards. A batch norm and
    dropout are refused: in their training mode a row has no Jacobian of its own. So is
    activation checkpointing: parts that are computed again when a gradient is taken
    would have other weights than those that are trained. Fresh
    weights are those that the module draws itself, with torch's generator set from
    `random_state` for that time. What it holds in buffers is not trained, nor are
    parameters whose `requires_grad` is False: they are, in each fit and after loading,
    what the factory gives, which has to be the same at each call.

    The norm of a module's Jacobian is estimated with probes, which torch differentiates
    twice, or with `jacobian_method="exact"` found from all unit vectors of the code.

    References
    ----------
    .. [1] S. Rifai, P. Vincent, X. Muller, X. Glorot and Y. Bengio, "Contractive
       Auto-Encoders: Explicit Invariance During Feature Extraction", ICML 2011.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from torch import nn
    >>> from skcae import ModuleAutoencoder
    >>> def encoder(n_features):
    ...     hidden = nn.Linear(n_features, 32)
    ...     return nn.Sequential(hidden, nn.LayerNorm(32), nn.GELU(), nn.Linear(32, 16))
    >>> X = load_digits().data / 16
    >>> model = ModuleAutoencoder(encoder, max_iter=20, tol=0.1, random_state=0).fit(X)
    >>> model.transform(X).shape
    (1797, 16)
    """

    encoder: Any = field(default=None, kw_only=False)
    decoder: Any = field(default=None, kw_only=False)
    n_components: int = 256
    activation: str = "sigmoid"

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **BaseNetwork._parameter_constraints,
        "encoder": [callable, None],
        "decoder": [callable, None],
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "activation": [StrOptions(set(ACTIVATIONS))],
    }

    def _structure(self) -> dict[str, Any]:
        names = ("encoder", "decoder", "n_components", "activation")
        return {name: getattr(self, name) for name in names}

    def _architecture(
        self, structure: dict[str, Any], n_features: int
    ) -> ModuleArchitecture:
        return ModuleArchitecture(
            structure["encoder"],
            structure["decoder"],
            n_features,
            int(structure["n_components"]),
            ACTIVATIONS[structure["activation"]],
        )

    def _n_features_of(self, arrays: dict[str, Array]) -> int:
        if hasattr(self, "n_features_in_"):
            return int(self.n_features_in_)
        raise ValueError(
            "The weights of modules do not say how many features they take: fit the "
            "ModuleAutoencoder, or keep it as a whole with skcae.persistence.save."
        )

    def _code_size(self) -> Any:
        """Return the size of the code, if the parameters tell."""
        return self.n_components if self.encoder is None else None
