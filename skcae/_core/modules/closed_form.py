"""Modules whose derivatives have a closed form: one affine layer and what follows it.

After an affine map, whose units are a_i = W_i·x + b_i, come elementwise functions,
max-pooling and changes of shape, in any order and number. Each output is then ψ(a_i) of
one unit alone, with the gradient ψ'(a_i) W_i and the Hessian ψ''(a_i) W_i W_iᵀ, so that

    ‖J‖²_F = Σ ψ'(a_i)² ‖W_i‖²  and  ‖H‖²_F = Σ ψ''(a_i)² ‖W_i‖⁴

over the outputs. The units of a convolution are its filters at all positions, and W_i
is what of the filter lies within the image.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules import module as any_module

from skcae._core.layers.layer import activated
from skcae.activations import ACTIVATIONS

# Over how many axes, and torch's function.
Kinds = dict[type[nn.Module], tuple[int, Callable[..., Any]]]
CONVOLUTIONS: Kinds = {
    nn.Conv1d: (1, functional.conv1d),
    nn.Conv2d: (2, functional.conv2d),
    nn.Conv3d: (3, functional.conv3d),
}
POOLS: Kinds = {
    nn.MaxPool1d: (1, functional.max_pool1d),
    nn.MaxPool2d: (2, functional.max_pool2d),
    nn.MaxPool3d: (3, functional.max_pool3d),
}
ELEMENTWISE = {
    nn.CELU,
    nn.ELU,
    nn.GELU,
    nn.Hardshrink,
    nn.Hardswish,
    nn.Hardtanh,
    nn.Identity,
    nn.LeakyReLU,
    nn.LogSigmoid,
    nn.Mish,
    nn.ReLU,
    nn.ReLU6,
    nn.SELU,
    nn.SiLU,
    nn.Sigmoid,
    nn.Softplus,
    nn.Softshrink,
    nn.Softsign,
    nn.Tanh,
    nn.Tanhshrink,
    nn.Threshold,
}

# Those whose slopes are cheaper by their formula.
KNOWN = {nn.ReLU: "relu", nn.Sigmoid: "sigmoid", nn.Tanh: "tanh"}


@dataclass(frozen=True)
class Units:
    """The outputs at each row, of which each is ψ(a_i) of one unit.

    Parameters
    ----------
    values : Tensor of shape (n, …)
        ψ(a_i).
    derivatives : tuple of Tensors of shape (n, …)
        ψ'(a_i), ψ''(a_i) and so on; none while ψ is the identity.
    squared_norms : Tensor, to be broadcast to (n, …)
        ‖W_i‖².
    """

    values: Tensor
    derivatives: tuple[Tensor, ...]
    squared_norms: Tensor

    def each(self, change: Callable[[Tensor], Tensor]) -> "Units":
        """Change the places of outputs, with all that is known of them."""
        values = self.values
        return Units(
            change(values),
            tuple(map(change, self.derivatives)),
            change(self.squared_norms.expand_as(values)),
        )


@dataclass(frozen=True)
class ClosedForm:
    """A module taken apart: changes of shape, one affine layer, what follows it."""

    before: list[Any]
    affine: Any
    after: list[Any]

    @property
    def selects(self) -> bool:
        """Whether the units that are seen depend on the row: there is max-pooling."""
        return any(type(step) in POOLS for step in self.after)

    def inputs(self, X: Tensor) -> Tensor:
        """Return the rows as the affine layer takes them."""
        for step in self.before:
            X = step(X)
        check_has_rows(self.affine, X)
        return X

    def units(self, X: Tensor, order: int) -> Units:
        """Return the outputs at each row, with so many derivatives."""
        X = self.inputs(X)
        A = self.affine(X)
        units = Units(A, (), squared_norms(self.affine, X))
        for step in self.after:
            if type(step) in ELEMENTWISE:
                units = applied(step, units, order)
            elif type(step) in POOLS:
                units = pooled(step, units)
            else:
                units = units.each(step)
        # Of an affine map alone.
        return units if units.derivatives else applied(nn.Identity(), units, order)


def closed_form(encoder: Any) -> ClosedForm | None:
    """Take a module apart, or return None if it is not made of known parts alone."""
    steps = list(leaves(encoder))
    before = list(takewhile(keeps_rows, steps))
    rest = steps[len(before) :]
    if not rest or not is_affine(rest[0]) or not all(map(follows, rest[1:])):
        return None
    return ClosedForm(before, rest[0], rest[1:])


def leaves(module: Any) -> Iterator[Any]:
    """Go through the modules in sequences; None stands for one that is not plain."""
    if not is_plain(module):
        yield None
    elif type(module) is nn.Sequential:
        for part in module:
            yield from leaves(part)
    else:
        yield module


def is_plain(module: Any) -> bool:
    """Tell whether calling a module does what its class's `forward` says, no more."""
    return (
        isinstance(module, nn.Module)
        and {"forward", "_conv_forward"}.isdisjoint(vars(module))
        and getattr(module, "_compiled_call_impl", None) is None
        and not module._forward_hooks
        and not module._forward_pre_hooks
        and not module._backward_hooks
        and not module._backward_pre_hooks
        and not any_module._has_any_global_hook()  # type: ignore[no-untyped-call]
    )


def is_affine(step: Any) -> bool:
    """Tell whether a module is an affine layer that borders do not bend."""
    is_known = type(step) is nn.Linear or type(step) in CONVOLUTIONS
    return (
        is_known
        and getattr(step, "padding_mode", "zeros") == "zeros"
        and type(step.weight) in (nn.Parameter, Tensor)
    )


def keeps_rows(step: Any) -> bool:
    """Tell whether a module changes the shape of each row, and nothing else."""
    if type(step) is nn.Unflatten:
        return isinstance(step.dim, int) and step.dim >= 1
    return type(step) is nn.Flatten and step.start_dim >= 1


def follows(step: Any) -> bool:
    """Tell whether each output of a module depends on one input."""
    is_pool = type(step) in POOLS and not step.return_indices
    return type(step) in ELEMENTWISE or is_pool or keeps_rows(step)


def check_has_rows(affine: Any, X: Tensor) -> None:
    """Refuse what torch would take for a single row."""
    if type(affine) is nn.Linear:
        is_right, shape = X.ndim >= 2, "(n, in_features)"
    else:
        n_axes, _ = CONVOLUTIONS[type(affine)]
        is_right = X.ndim == n_axes + 2
        shape = f"(n, in_channels, {', '.join(['size'] * n_axes)})"
    if not is_right:
        raise ValueError(
            f"{type(affine).__name__} got X of shape {tuple(X.shape)}, which has no "
            f"axis for the rows: pass one of shape {shape}."
        )


def squared_norms(affine: Any, X: Tensor) -> Tensor:
    """Return ‖W_i‖² of each unit, to be broadcast over the rows."""
    if type(affine) is nn.Linear:
        norms: Tensor = affine.weight.square().sum(1)
        return norms
    # Each tap counts where it lies within the image: an image of ones, convolved with
    # the squares. All channels have the same taps.
    _, convolve = CONVOLUTIONS[type(affine)]
    squares = affine.weight.square().sum(1, keepdim=True)
    ones = squares.new_ones((1, 1, *X.shape[2:]))
    norms = convolve(
        ones, squares, None, affine.stride, affine.padding, affine.dilation
    )
    return norms


def applied(function: nn.Module, units: Units, order: int) -> Units:
    """Return the outputs after an elementwise function."""
    values, outer = with_derivatives(function, units.values, order)
    if not units.derivatives:
        return replace(units, values=values, derivatives=outer)
    # (φ ∘ ψ)' = φ' ψ' and (φ ∘ ψ)'' = φ'' ψ'² + φ' ψ''.
    first = outer[0] * units.derivatives[0]
    if order == 1:
        return replace(units, values=values, derivatives=(first,))
    inner = units.derivatives
    second = outer[1] * inner[0].square() + outer[0] * inner[1]
    return replace(units, values=values, derivatives=(first, second))


def with_derivatives(
    function: nn.Module, A: Tensor, order: int
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Return φ of each entry, and its first derivatives there."""
    known = KNOWN.get(type(function))
    if order == 1 and known is not None:
        values, slopes = activated(ACTIVATIONS[known], A.clone())
        return values, (slopes,)
    if not A.requires_grad:
        A = A.detach().requires_grad_()
    overwrites = getattr(function, "inplace", False)
    values = derivative = function(A.clone() if overwrites else A)
    derivatives = []
    for _ in range(order):
        # An entry of φ depends on no other, so that the sum has all derivatives.
        derivative = derivative_of_sum(derivative, A)
        derivatives.append(derivative)
    return values, tuple(derivatives)


def derivative_of_sum(values: Tensor, A: Tensor) -> Tensor:
    """Return the derivative of the sum of values, 0 where they are constant."""
    if not values.requires_grad:
        return torch.zeros_like(A)
    (found,) = torch.autograd.grad(
        values, A, torch.ones_like(values), create_graph=True, allow_unused=True
    )
    return torch.zeros_like(A) if found is None else found


def pooled(pool: Any, units: Units) -> Units:
    """Return the outputs after max-pooling: the largest of each window."""
    n_axes, pool_of = POOLS[type(pool)]
    values, places = pool_of(
        units.values,
        pool.kernel_size,
        pool.stride,
        pool.padding,
        pool.dilation,
        pool.ceil_mode,
        return_indices=True,
    )
    # They count over the pooled axes, which are the last.
    places = places.flatten(-n_axes)

    def largest(tensor: Tensor) -> Tensor:
        return tensor.flatten(-n_axes).gather(-1, places).view_as(values)

    return units.each(largest)
