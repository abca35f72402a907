"""A layer that is a module of torch: whatever the user has written.

Its Jacobian is known by products with it alone: Jᵀu and J v are what torch's
differentiation gives, backwards and forwards.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from threading import Lock
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.overrides import TorchFunctionMode

from skcae._core.data.moments import Scaling
from skcae._core.layers.chain import Chain
from skcae._core.layers.dense import Dense
from skcae._core.layers.layer import Layer, Parameters
from skcae._core.layers.network import Network
from skcae.activations import ACTIVATIONS, Activation

# What torch calls the parameters of a dense layer.
TORCH_NAMES = {"weights": "weight", "intercept": "bias"}

# Torch's global generator is one for all threads.
ONE_AT_A_TIME = Lock()

# From the number of features to a module.
MakeModule = Callable[[int], nn.Module]


@dataclass(frozen=True)
class Module(Layer):
    """A module from rows to rows; its state is the rows themselves, (n, d).

    Parameters
    ----------
    module : torch.nn.Module
        What it computes, in evaluation mode; the tensors that it has are not used.
    tensors : dict of tensors
        Its parameters, by their names in the module.
    buffers : dict of tensors
        What it holds besides, which is not trained.
    sizes : (int, int)
        d and h.
    """

    module: nn.Module
    tensors: Parameters
    buffers: Parameters
    sizes: tuple[int, int]

    @property
    def n_inputs(self) -> int:
        """The number d of inputs."""
        return self.sizes[0]

    @property
    def n_units(self) -> int:
        """The number h of units."""
        return self.sizes[1]

    @classmethod
    def of(cls, module: nn.Module, n_inputs: int) -> Self:
        """Make a layer of a module, which keeps its own tensors.

        Raises
        ------
        ValueError
            If it does not give one row for each row.
        """
        rows = torch.linspace(-1, 1, 2 * n_inputs).view(2, n_inputs)
        with torch.no_grad():
            H, again, other = map(
                module.eval(), (rows, rows, rows * rows.new_tensor([[-1.0], [1.0]]))
            )
        if not isinstance(H, Tensor) or len(H) != 2:
            found = tuple(H.shape) if isinstance(H, Tensor) else type(H).__name__
            raise ValueError(f"it gives {found} for 2 rows of {n_inputs} numbers")
        if not torch.equal(H, again):
            raise ValueError("it gives other numbers for the same rows at each call")
        # The first row is turned over, and the second is not.
        if not torch.allclose(H[1], other[1], rtol=1e-4, atol=1e-6):
            raise ValueError("what it gives for a row depends on the other rows")
        tensors = {name: p.detach().clone() for name, p in module.named_parameters()}
        buffers = {name: b.detach().clone() for name, b in module.named_buffers()}
        return cls(module, tensors, buffers, (n_inputs, H[0].numel()))

    @property
    def n_multiplications(self) -> int:
        """How many multiplications a row takes, if each weight is used once."""
        return sum(part.numel() for part in self.tensors.values())

    @property
    def parameters(self) -> Parameters:
        """What is trained."""
        return self.tensors

    def with_parameters(self, parameters: Parameters) -> Self:
        """Return the same layer with these parameters, and buffers like them."""
        some = next(iter(parameters.values()), torch.zeros(()))
        buffers = {
            name: part.to(some) if part.is_floating_point() else part.to(some.device)
            for name, part in self.buffers.items()
        }
        return replace(self, tensors=parameters, buffers=buffers)

    def outputs(self, X: Tensor, out: Tensor | None = None) -> Tensor:
        """Return the units of each row, (n, d) → (n, h)."""
        held = {**self.tensors, **self.buffers}
        H: Tensor = functional_call(self.module, held, (X,)).flatten(1)
        return H if out is None else out.copy_(H)

    def linearized(self, X: Tensor) -> tuple[Tensor, Tensor]:
        """Return the units of each row, and the rows."""
        return self.outputs(X), X

    def pull_back(self, state: Tensor, U: Tensor) -> Tensor:
        """Return Jᵀ u for k vectors of each row, (n, k, h) → (n, k, d)."""
        keeps_graph = self._is_differentiated(state, U)
        pulled = self._pulled(state, U.flatten(0, 1), keeps_graph)
        return pulled.view(*U.shape[:2], self.n_inputs)

    def push_forward(self, state: Tensor, V: Tensor) -> Tensor:
        """Return J v for k vectors of each row, (n, k, d) → (n, k, h)."""
        rows = state.repeat_interleave(V.shape[1], 0)
        with PlainLayerNorm():
            found = torch.func.jvp(self.outputs, (rows,), (V.flatten(0, 1),))
        pushed: Tensor = found[1]
        return pushed.view(*V.shape[:2], self.n_units)

    def _is_differentiated(self, *others: Tensor) -> bool:
        """Tell whether torch is to differentiate what is computed from these."""
        parts = (*self.tensors.values(), *others)
        return torch.is_grad_enabled() and any(part.requires_grad for part in parts)

    def _pulled(self, X: Tensor, U: Tensor, keeps_graph: bool) -> Tensor:
        """Return Jᵀ u, (n k, d), for k vectors of each row one below the other."""
        with torch.enable_grad():
            # The same numbers as X, by which the outputs are differentiated.
            rows = X.repeat_interleave(len(U) // len(X), 0)
            rows = rows if rows.requires_grad else rows.detach().requires_grad_()
            (found,) = torch.autograd.grad(
                self.outputs(rows),
                rows,
                U,
                create_graph=keeps_graph,
                materialize_grads=True,
            )
        return found


class PlainLayerNorm(TorchFunctionMode):
    """Layer norm in sums and products.

    What torch 2.13 gives as the derivative of its own layer norm along a direction has
    a wrong derivative in its turn, as gradcheck tells.
    """

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Put sums and products in the place of a layer norm."""
        if function is nn.functional.layer_norm:
            return layer_norm(*args, **(kwargs or {}))
        return function(*args, **(kwargs or {}))


def layer_norm(
    X: Tensor,
    shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Return (x − mean) / √(variance + eps), times the weight, plus the bias."""
    axes = tuple(range(-len(shape), 0))
    centred = X - X.mean(axes, keepdim=True)
    variance = centred.square().mean(axes, keepdim=True)
    found = centred * (variance + eps).rsqrt()
    found = found if weight is None else found * weight
    return found if bias is None else found + bias


@dataclass(frozen=True)
class ModuleArchitecture:
    """An encoder and a decoder of the user's, or a dense layer in the place of either.

    Parameters are named as the modules name them, after "encoder." or "decoder.".

    Parameters
    ----------
    make_encoder, make_decoder : callable or None
        From the number of features to a module; None is one dense layer.
    n_features : int
        d.
    n_components : int
        The units of a dense encoder.
    units : Activation
        φ of a dense encoder.
    """

    make_encoder: MakeModule | None
    make_decoder: MakeModule | None
    n_features: int
    n_components: int
    units: Activation

    @property
    def activation(self) -> Activation | None:
        """That of the code, if it is known."""
        return self.units if self.make_encoder is None else None

    @cached_property
    def prototype(self) -> Network:
        """The layers, with parameters of no meaning; buffers are those of any fit."""
        return self._drawn(0)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of each parameter."""
        return {name: (*part.shape,) for name, part in named(self.prototype).items()}

    def initial_parameters(
        self,
        *,
        generator: torch.Generator,
        dtype: torch.dtype,
        device: torch.device,
        scaling: Scaling | None,
    ) -> Parameters:
        """Draw the weights; those of a module as it draws them itself."""
        seed = int(torch.randint(2**31, (), generator=generator, device="cpu"))
        drawn = named(self._drawn(seed))
        if scaling is not None:
            shift, scale = map(torch.from_numpy, (scaling.shift, scaling.scale))
            if self.make_encoder is None:
                W, b = drawn["encoder.weight"], drawn["encoder.bias"]
                Dense(W, b, self.units).encode_scaled(shift, scale)
            if self.make_decoder is None:
                drawn["decoder.bias"].copy_(shift)
        return {name: part.to(device, dtype) for name, part in drawn.items()}

    def network(self, parameters: Parameters) -> Network:
        """Return the layers that have these tensors."""
        encoder, decoder = (
            layer.with_parameters(
                {own: parameters[name] for own, name in names(side, layer).items()}
            )
            for side, layer in sides(self.prototype)
        )
        return Network(Chain((encoder,)), Chain((decoder,)))

    def _drawn(self, seed: int) -> Network:
        """Make the layers, with torch's global generator set, and put back then."""
        with ONE_AT_A_TIME, torch.random.fork_rng(devices=[]), torch.device("cpu"):
            torch.manual_seed(seed)
            d, identity = self.n_features, ACTIVATIONS["identity"]
            encoder: Layer
            decoder: Layer
            if self.make_encoder is None:
                encoder = dense(d, self.n_components, seed, self.units)
            else:
                encoder = module_of("encoder", self.make_encoder, d, d)
            code = encoder.n_units
            if self.make_decoder is None:
                decoder = dense(code, d, seed + 1, identity)
            else:
                decoder = module_of("decoder", self.make_decoder, d, code)
        if decoder.n_units != self.n_features:
            raise ValueError(
                f"decoder gives {decoder.n_units} numbers for a code, but X has "
                f"{self.n_features} features."
            )
        return Network(Chain((encoder,)), Chain((decoder,)))


def module_of(name: str, make: MakeModule, n_features: int, n_inputs: int) -> Module:
    """Call a factory, and return its module as a layer.

    Raises
    ------
    TypeError
        If it gives no module.
    ValueError
        If the module cannot be used.
    """
    module = make(n_features)
    if not isinstance(module, nn.Module):
        raise TypeError(
            f"{name}({n_features}) must return a torch.nn.Module, but returned "
            f"{type(module).__name__}."
        )
    check_rows_are_alone(name, module)
    try:
        return Module.of(module, n_inputs)
    except (RuntimeError, ValueError) as error:
        raise ValueError(
            f"The module of {name}({n_features}) must take rows of {n_inputs} numbers, "
            f"a tensor of shape (n, {n_inputs}): {error}."
        ) from error


def check_rows_are_alone(name: str, module: nn.Module) -> None:
    """Refuse modules that compute another thing in training than afterwards.

    Raises
    ------
    ValueError
        If there is a batch norm, or dropout.
    """
    kinds = (nn.modules.batchnorm._BatchNorm, nn.modules.dropout._DropoutNd, nn.RReLU)
    for part in module.modules():
        if isinstance(part, kinds):
            raise ValueError(
                f"The module of {name} has a {type(part).__name__}. Modules are "
                "trained as they are used afterwards, so that a batch norm would have "
                "no statistics and dropout no effect, while in their training mode "
                "rows would depend on each other or on chance, and have no Jacobian "
                "of their own. Take a LayerNorm, or a scaler in the pipeline."
            )


def dense(n_inputs: int, n_units: int, seed: int, activation: Activation) -> Dense:
    """Draw a dense layer in float64."""
    generator = torch.Generator("cpu").manual_seed(seed)
    W = Dense.initial_weights(
        n_inputs,
        n_units,
        generator=generator,
        dtype=torch.float64,
        device=torch.device("cpu"),
    )
    return Dense(W, torch.zeros_like(W[:, 0]), activation)


def sides(network: Network) -> list[tuple[str, Layer]]:
    """Return the one layer of the encoder, and that of the decoder, by their names."""
    (encoder,), (decoder,) = network.encoder.layers, network.decoder.layers
    return [("encoder", encoder), ("decoder", decoder)]


def names(side: str, layer: Layer) -> dict[str, str]:
    """Return the names of a layer's parameters in the network, as torch has them."""
    known = TORCH_NAMES if isinstance(layer, Dense) else {}
    return {own: f"{side}.{known.get(own, own)}" for own in layer.parameters}


def named(network: Network) -> Parameters:
    """Return the parameters of a network of two layers."""
    return {
        name: layer.parameters[own]
        for side, layer in sides(network)
        for own, name in names(side, layer).items()
    }
