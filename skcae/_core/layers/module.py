"""A layer that is a module of torch: whatever the user has written."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.func import functional_call

from skcae._core.data.modes import plainly
from skcae._core.data.moments import Scaling
from skcae._core.data.threads import OneAtATime
from skcae._core.layers.chain import Chain
from skcae._core.layers.dense import Dense
from skcae._core.layers.differentiated import Differentiated
from skcae._core.layers.layer import Layer, Parameters
from skcae._core.layers.network import Network
from skcae.activations import ACTIVATIONS, Activation

# What torch calls the parameters of a dense layer.
TORCH_NAMES = {"weights": "weight", "intercept": "bias"}


# Torch's global generator is one for all threads. A factory may make a module of what
# another one has made.
DRAWING = OneAtATime()

# What follows the rows at all follows them so far.
SMALL = 1e-6

# From the number of features to a module.
MakeModule = Callable[[int], nn.Module]


@dataclass(frozen=True)
class Module(Differentiated):
    """A module from rows to rows; its state is the rows themselves, (n, d).

    Parameters
    ----------
    module : torch.nn.Module
        What it computes, in evaluation mode; the tensors that it has are not used.
    tensors : dict of tensors
        Its parameters, by their names in the module.
    buffers : dict of tensors
        What it holds besides, which is not trained: parameters that need no gradient,
        too.
    sizes : (int, int)
        d and h.
    casts : dict
        `buffers` wherever they were asked for, and in whatever precision.
    """

    module: nn.Module
    tensors: Parameters
    buffers: Parameters
    sizes: tuple[int, int]
    casts: dict[tuple[torch.dtype, torch.device], Parameters] = field(
        default_factory=dict, compare=False, repr=False
    )

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
            If it does not give one row for each row, which depends on that row alone.
        """
        # As fits have it in the end, or in the precision below; modules may take
        # positive numbers only.
        module = module.double().eval()
        rows = torch.linspace(0, 1, 2 * n_inputs + 2).double()[1:-1].view(2, n_inputs)
        # The first row is another, and the second is not.
        others = torch.stack([1 - rows[0], rows[1]])
        held = [buffer.clone() for buffer in module.buffers()]
        with torch.no_grad():
            given = rows.clone()
            H, again, other = module(given), module(rows.clone()), module(others)
        check_outputs(H, n_inputs)
        if not torch.equal(given, rows):
            raise ValueError("it writes into the rows that it is given")
        if not all(map(same_numbers, held, module.buffers())):
            raise ValueError("it writes into what it holds in buffers")
        if not same_numbers(H, again):
            raise ValueError("it gives other numbers for the same rows at each call")
        if not torch.allclose(H[1], other[1], equal_nan=True):
            raise ValueError("what it gives for a row depends on the other rows")
        if hides_derivative(module, rows):
            raise ValueError(
                "torch has no derivative of what it gives by its rows, so that its "
                "Jacobian would be a silent 0: it computes without torch, or detaches"
            )
        parameters = dict(module.named_parameters())
        trained = {name for name, p in parameters.items() if p.requires_grad}
        tensors, fixed = (
            {name: p.detach().clone() for name, p in parameters.items() if is_in(name)}
            for is_in in (trained.__contains__, lambda name: name not in trained)
        )
        buffers = {name: b.detach().clone() for name, b in module.named_buffers()}
        return cls(module, tensors, {**fixed, **buffers}, (n_inputs, H[0].numel()))

    @property
    def n_multiplications(self) -> int:
        """How many multiplications a row takes, if each weight is used once."""
        return sum(part.numel() for part in self.tensors.values())

    @property
    def parameters(self) -> Parameters:
        """What is trained."""
        return self.tensors

    def with_parameters(self, parameters: Parameters) -> Self:
        """Return the same layer with these parameters."""
        return replace(self, tensors=parameters)

    def outputs(self, X: Tensor, out: Tensor | None = None) -> Tensor:
        """Return the units of each row, (n, d) → (n, h)."""
        held = {**self.tensors, **self.buffers_like(X)}
        H: Tensor = functional_call(self.module, held, (X,)).flatten(1)
        # Not a view of the rows, as of what selects some features.
        return H.clone() if out is None else out.copy_(H)

    def buffers_like(self, X: Tensor) -> Parameters:
        """Return what is not trained, where the rows are and in their precision."""
        kind = X.dtype, X.device
        if kind not in self.casts:
            # They outlive the mode of torch that this is called in.
            with plainly():
                self.casts[kind] = {
                    name: part.to(X if part.is_floating_point() else X.device)
                    for name, part in self.buffers.items()
                }
        return self.casts[kind]


COMPUTES_LATER = (
    "parts of it are computed once more when a gradient is taken, or kept elsewhere "
    "until then (torch.utils.checkpoint, or other hooks of saved tensors), where its "
    "weights are no more those that are trained: call these parts as they are"
)


def hides_derivative(module: nn.Module, X: Tensor) -> bool:
    """Tell whether what a module gives follows the rows and torch does not see it.

    Raises
    ------
    RuntimeError
        If the module is not done when it has given its outputs.
    """
    X = X.clone().requires_grad_()
    # Its tensors are others while it is called, and not when gradients are taken.
    is_done = torch.autograd.graph.disable_saved_tensors_hooks(COMPUTES_LATER)
    with torch.enable_grad(), is_done:
        H = module(X.clone())
        if H.requires_grad:
            (found,) = torch.autograd.grad(H.sum(), X, allow_unused=True)
            if found is not None:
                return False
    # What goes in steps stays where it is.
    with torch.no_grad():
        return not torch.equal(H, module(X + SMALL))


def check_outputs(H: Any, n_inputs: int) -> None:
    """Refuse what is no tensor of two rows.

    Raises
    ------
    ValueError
        If it is none.
    """
    if not isinstance(H, Tensor) or H.ndim < 2 or len(H) != 2:
        found = tuple(H.shape) if isinstance(H, Tensor) else type(H).__name__
        raise ValueError(f"it gives {found} for 2 rows of {n_inputs} numbers")
    if H.dtype != torch.float64:
        raise ValueError(f"it gives {H.dtype} where it is given torch.float64")


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

    @property
    def prototype(self) -> Network:
        """The layers, with parameters of no meaning; buffers are those of any fit."""
        # Not by a cached_property: before Python 3.12 all of them share a lock, which a
        # factory that fits another model would wait for, and a fork.
        if "made" not in self.__dict__:
            self.__dict__["made"] = self._drawn(0)
        made: Network = self.__dict__["made"]
        return made

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
        self._check_what_is_fixed()
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

    def _check_what_is_fixed(self) -> None:
        """Refuse factories whose modules hold other tensors at each call.

        What is not trained is no part of the fitted model: a factory gives it anew.
        """
        both = sides(self.prototype), sides(self._drawn(0))
        for (side, layer), (_, again) in zip(*both, strict=True):
            if not (isinstance(layer, Module) and isinstance(again, Module)):
                continue
            for name, part in layer.buffers.items():
                if not same_numbers(part, again.buffers[name]):
                    raise ValueError(
                        f"{side}({self.n_features}) gives a module with other numbers "
                        f"in {name!r} at each call, which are not trained: the model "
                        "would be another one each time that it is used. Draw them "
                        "with torch, whose generator is set before the call, or from "
                        "a seed of your own."
                    )

    @plainly()
    def _drawn(self, seed: int) -> Network:
        """Make the layers, with torch's global generator set, and put back then."""
        with DRAWING.lock, torch.random.fork_rng(devices=[]), torch.device("cpu"):
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
        network = Network(Chain((encoder,)), Chain((decoder,)))
        if not named(network):
            raise ValueError(
                "Neither the module of encoder nor that of decoder has parameters that "
                "need a gradient: there is nothing to fit."
            )
        return network


def module_of(name: str, make: MakeModule, n_features: int, n_inputs: int) -> Module:
    """Call a factory, and return its module as a layer.

    Raises
    ------
    TypeError
        If it gives no module, or is one.
    ValueError
        If the module cannot be used.
    """
    if isinstance(make, nn.Module):
        raise TypeError(
            f"{name} must be a function of the number of features that returns a "
            "torch.nn.Module, so that each fit has fresh weights, but it is a "
            f"{type(make).__name__} itself: pass what makes it."
        )
    module = make(n_features)
    if not isinstance(module, nn.Module):
        raise TypeError(
            f"{name}({n_features}) must return a torch.nn.Module, but returned "
            f"{type(module).__name__}."
        )
    check_rows_are_alone(name, module)
    try:
        return Module.of(module, n_inputs)
    except (AttributeError, IndexError, RuntimeError, TypeError, ValueError) as error:
        raise ValueError(
            f"The module of {name}({n_features}) must take rows of {n_inputs} numbers, "
            f"a tensor of shape (n, {n_inputs}): {error}."
        ) from error


def same_numbers(one: Tensor, other: Tensor) -> bool:
    """Tell whether two tensors are the same, NaN where the other is."""
    if one.shape != other.shape:
        return False
    if one.layout is not torch.strided:
        pair: list[Any] = [one, other]
        difference = pair[0].to_sparse_coo() - pair[1].to_sparse_coo()
        return not difference.coalesce().values().any()
    return torch.allclose(one, other, rtol=0, atol=0, equal_nan=True)


def check_rows_are_alone(name: str, module: nn.Module) -> None:
    """Refuse modules that compute another thing in training than afterwards.

    Raises
    ------
    ValueError
        If there is a batch norm, or dropout, in whatever layer.
    """
    for part in module.modules():
        found = other_in_training(part)
        if found:
            raise ValueError(
                f"The module of {name} has {found}. Modules are "
                "trained as they are used afterwards, so that a batch norm would have "
                "no statistics and dropout no effect, while in their training mode "
                "rows would depend on each other or on chance, and have no Jacobian "
                "of their own. Take a LayerNorm, or a scaler in the pipeline."
            )


def other_in_training(layer: nn.Module) -> str:
    """Name a layer that draws at random, or learns statistics, while it trains."""
    name, drawn = f"a {type(layer).__name__}", drawn_in_training(layer)
    if isinstance(layer, nn.modules.batchnorm._BatchNorm):
        return name
    is_instance_norm = isinstance(layer, nn.modules.instancenorm._InstanceNorm)
    if is_instance_norm and layer.track_running_stats:
        return f"{name} (track_running_stats=True)"
    return drawn and f"{name} ({drawn})"


def drawn_in_training(layer: nn.Module) -> str:
    """Say what a layer draws at random in training mode, if it does."""
    # Dropout of nothing is none.
    if isinstance(layer, nn.modules.dropout._DropoutNd) and layer.p > 0:
        return f"p={layer.p}"
    if isinstance(layer, nn.RReLU) and layer.lower < layer.upper:
        return "slopes drawn"
    if isinstance(layer, nn.MultiheadAttention | nn.RNNBase) and layer.dropout > 0:
        return f"dropout={layer.dropout}"
    return ""


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
