"""Functions of torch whose derivatives lack derivatives, in others that have them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode


class Plain(TorchFunctionMode):
    """Put other functions in the place of some of torch's.

    Parameters
    ----------
    functions : dict of callables
        What is called, and what is computed instead.
    """

    def __init__(self, functions: Mapping[Any, Callable[..., Any]]) -> None:
        super().__init__()
        self.functions = functions

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Call a function, or what is in its place."""
        return self.functions.get(function, function)(*args, **(kwargs or {}))


def layer_norm(
    X: Tensor,
    shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Return (x − mean) / √(variance + eps), times the weight, plus the bias.

    What torch 2.13 gives as the derivative of its own along a direction has a wrong
    derivative in its turn, as gradcheck tells.
    """
    axes = tuple(range(-len(shape), 0))
    centred = X - X.mean(axes, keepdim=True)
    variance = centred.square().mean(axes, keepdim=True)
    found = centred * (variance + eps).rsqrt()
    found = found if weight is None else found * weight
    return found if bias is None else found + bias


def attention(*args: Any, **how: Any) -> Tensor:
    """Return attention in products, since the fused one is differentiated only once."""
    found: Tensor = torch.ops.aten._scaled_dot_product_attention_math(*args, **how)[0]
    return found


def heads(*args: Any, **how: Any) -> tuple[Tensor, Tensor | None]:
    """Return attention of several heads, which is in products if weights are asked."""
    needs_weights = how.get("need_weights", True)
    how["need_weights"] = True
    found, weights = functional.multi_head_attention_forward(*args, **how)
    return found, weights if needs_weights else None


def distances(X: Tensor, Y: Tensor, p: float = 2.0, **how: Any) -> Tensor:
    """Return ‖x − y‖, (…, n, d) and (…, m, d) → (…, n, m).

    Torch's own is not differentiated along a direction.
    """
    differences = X[..., :, None, :] - Y[..., None, :, :]
    found: Tensor = torch.linalg.vector_norm(differences, p, dim=-1)
    return found


#: Attention, and with it what is differentiated along a direction.
ATTENTION: dict[Any, Callable[..., Any]] = {
    functional.scaled_dot_product_attention: attention,
    functional.multi_head_attention_forward: heads,
}
EVERYTHING: dict[Any, Callable[..., Any]] = {
    **ATTENTION,
    functional.layer_norm: layer_norm,
    torch.cdist: distances,
}
