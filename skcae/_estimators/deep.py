"""The deep contractive autoencoder, whose layers are trained together."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils._param_validation import HasMethods
from torch import Tensor

from skcae._core.data.arrays import Array
from skcae._core.layers.layer import Affine, Parameters
from skcae._core.layers.network import DenseArchitecture
from skcae._estimators.documentation import documented
from skcae._estimators.integrity import check_tied
from skcae._estimators.network import BaseNetwork
from skcae._estimators.stacked import StackedCAE
from skcae._fit.data import FitData
from skcae._fit.parameters import LAYER
from skcae._fit.stack import check_stack
from skcae.activations import ACTIVATIONS


@documented
@dataclass(repr=False, eq=False, kw_only=True)
class DeepCAE(BaseNetwork):
    r"""Contractive autoencoder of several dense layers, trained together.

    The encoder :math:`f = f_K \circ \cdots \circ f_1` with
    :math:`f_k(x) = \varphi(W_k x + b_k)` and the decoder g, which mirrors it, minimise
    the mean over samples of

    .. math::

        L(x, g(f(x))) + \lambda \lVert J_f(x) \rVert_F^2
                      + \mu \lVert J_g(f(x)) \rVert_F^2,

    where :math:`J_f = D_K W_K \cdots D_1 W_1` is the Jacobian of all layers together,
    with the slopes :math:`\varphi'` of layer k on the diagonal of :math:`D_k`. That is
    the penalty of [1]_ on a deeper encoder; a `StackedCAE` penalises each layer by
    itself, with respect to the codes of the one below. Neither the sum nor the product
    of the layers' own norms is the norm of J.

    Parameters
    ----------
    hidden_layer_sizes : sequence of int, default=(512, 128)
        The number of units of each layer of the encoder, from the input up. The last
        is the size of the code.

    jacobian_penalty : float, default=0.1
        Strength λ of the contraction of the whole encoder.

    %(network penalties)s

    init : StackedCAE or None, default=None
        Where training starts: None draws fresh weights. A `StackedCAE` of the same
        sizes is fitted first, layer by layer, and a
        :class:`~sklearn.frozen.FrozenEstimator` of one is taken as it is; all layers
        are then trained together. A stack decodes each layer by itself, linearly under
        the squared error, while the hidden layers of this decoder have the activation:
        before training its reconstructions are others than the stack's, its codes are
        the same. The stack is fitted on all rows of X, also on those that
        `early_stopping` holds out afterwards.

    %(layer)s

    %(solver)s

    %(stopping)s

    %(warm start)s

    %(data parallel)s

    %(running)s

    Attributes
    ----------
    %(network attributes)s

    See Also
    --------
    StackedCAE : Trains the layers one after the other.
    ContractiveAutoencoder : One layer.

    Notes
    -----
    With probes, v a vector of independent signs, :math:`E \lVert J^\top v \rVert^2` is
    the squared norm, and its variance is
    :math:`2 (\lVert G \rVert_F^2 - \sum_i G_{ii}^2)` with :math:`G = J J^\top`: what
    is on the diagonal costs no noise [2]_. One probe of each row is as noisy as the
    choice of rows for a batch, and adds about half of a step's cost; the exact norm
    costs as much as one probe for each unit of the code.

    References
    ----------
    .. [1] S. Rifai, P. Vincent, X. Muller, X. Glorot and Y. Bengio, "Contractive
       Auto-Encoders: Explicit Invariance During Feature Extraction", ICML 2011.

    .. [2] M. F. Hutchinson, "A Stochastic Estimator of the Trace of the Influence
       Matrix for Laplacian Smoothing Splines", Communications in Statistics 18, 1989.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skcae import DeepCAE
    >>> X = load_digits().data / 16
    >>> deep = DeepCAE((32, 16), max_iter=20, tol=0.1, random_state=0).fit(X)
    >>> deep.transform(X).shape
    (1797, 16)
    >>> {name: array.shape for name, array in deep.parameters_.items()}
    {'encoder.0.weight': (32, 64), 'encoder.0.bias': (32,),
     'encoder.1.weight': (16, 32), 'encoder.1.bias': (16,),
     'decoder.0.bias': (32,), 'decoder.1.bias': (64,)}
    """

    hidden_layer_sizes: Sequence[int] = field(default=(512, 128), kw_only=False)
    activation: str = "sigmoid"
    tied_weights: bool = True
    init: Any = None

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **BaseNetwork._parameter_constraints,
        **LAYER,
        "hidden_layer_sizes": ["array-like"],
        "init": [HasMethods(["fit", "transform"]), None],
    }

    def _structure(self) -> dict[str, Any]:
        sizes = check_stack(self.hidden_layer_sizes)
        return {
            "hidden_layer_sizes": tuple(size for size, _ in sizes),
            "activation": self.activation,
            "tied_weights": self.tied_weights,
        }

    def _architecture(
        self, structure: dict[str, Any], n_features: int
    ) -> DenseArchitecture:
        return DenseArchitecture(
            (n_features, *structure["hidden_layer_sizes"]),
            ACTIVATIONS[structure["activation"]],
            structure["tied_weights"],
        )

    def _n_features_of(self, arrays: dict[str, Array]) -> int:
        first = arrays.get("encoder.0.weight", np.empty(0))
        return int(np.shape(first)[-1])

    def _code_size(self) -> int:
        """Return the size of the code that the parameters ask for."""
        return check_stack(self.hidden_layer_sizes)[-1][0]

    def _weights_of_layers(
        self, encoding: Sequence[Affine], decoding: Sequence[Affine]
    ) -> dict[str, Tensor]:
        """Return the weights of such layers by their names in a file."""
        named = {}
        for k, layer in enumerate(encoding):
            named[f"encoder.{k}.weight"] = layer.weights
            named[f"encoder.{k}.bias"] = layer.intercept
        for k, layer in enumerate(decoding):
            named[f"decoder.{k}.weight"] = layer.weights.mT
            named[f"decoder.{k}.bias"] = layer.intercept
        if self.tied_weights:
            for k in range(len(decoding)):
                W = named.get(f"encoder.{len(decoding) - 1 - k}.weight")
                check_tied(named.pop(f"decoder.{k}.weight"), W)
        return named

    def _first_parameters(
        self, given: FitData, n_features: int, **how: Any
    ) -> Parameters:
        fresh = super()._first_parameters(given, n_features, **how)
        if self.init is None:
            return fresh
        weights = weights_of_stack(fitted_stack(self, given, fresh))
        for name, parameter in fresh.items():
            parameter.copy_(torch.from_numpy(weights[name]))
        return fresh


def fitted_stack(deep: DeepCAE, given: FitData, fresh: Parameters) -> StackedCAE:
    """Fit the stack that training starts from, or take it if it is frozen.

    Raises
    ------
    TypeError
        If it is none.
    ValueError
        If its layers are of another kind.
    """
    init = clone(deep.init)
    stack = init.estimator if isinstance(init, FrozenEstimator) else init
    if not isinstance(stack, StackedCAE):
        raise TypeError(
            "init must be a StackedCAE, or a FrozenEstimator of one, but is "
            f"{deep.init!r}."
        )
    init.fit(given.X, None, sample_weight=given.sample_weight)
    layers = stack.estimators_
    found = {
        "n_features": layers[0].n_features_in_,
        "hidden_layer_sizes": tuple(layer._n_features_out for layer in layers),
        "activation": layers[0]._fitted_activation,
        "tied_weights": layers[0]._fitted_as()["tied_weights"],
    }
    n_features = fresh["encoder.0.weight"].shape[1]
    asked = {"n_features": n_features, **deep._structure()}
    for name, value in found.items():
        if value != asked[name]:
            raise ValueError(
                f"The StackedCAE that init gives has {name}={value!r}, but training "
                f"asks for {asked[name]!r}."
            )
    return stack


def weights_of_stack(stack: StackedCAE) -> dict[str, Array]:
    """Return the weights of a stack's layers by their names in a network."""
    weights = {}
    for k, layer in enumerate(stack.estimators_):
        weights[f"encoder.{k}.weight"] = layer.components_
        weights[f"encoder.{k}.bias"] = layer.intercept_hidden_
    for k, layer in enumerate(reversed(stack.estimators_)):
        weights[f"decoder.{k}.bias"] = layer.intercept_visible_
        weights[f"decoder.{k}.weight"] = getattr(layer, "decoder_components_", None)
    return weights
