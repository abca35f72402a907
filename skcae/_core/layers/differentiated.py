"""Layers whose Jacobian is known by products with it alone, as torch finds them.

Jᵀu and J v are what torch's differentiation gives, backwards and forwards.
"""

import torch
from torch import Tensor

from skcae._core.layers.layer import Layer
from skcae._core.layers.plain import ATTENTION, EVERYTHING, Plain


class Differentiated(Layer):
    """A layer that says what its outputs are; its state is the rows themselves."""

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
        try:
            # (26) as torch has it.
            with Plain(EVERYTHING):
                found = torch.func.jvp(self.outputs, (rows,), (V.flatten(0, 1),))
        except NotImplementedError:
            # Some functions of torch have no derivative forwards: J by its rows then.
            identity = torch.eye(self.n_units, dtype=V.dtype, device=V.device)
            J = self.pull_back(state, identity.expand(len(state), -1, -1))
            return V @ J.mT
        pushed: Tensor = found[1]
        return pushed.view(*V.shape[:2], self.n_units)

    def _is_differentiated(self, *others: Tensor) -> bool:
        """Tell whether torch is to differentiate what is computed from these."""
        parts = (*self.parameters.values(), *others)
        return torch.is_grad_enabled() and any(part.requires_grad for part in parts)

    def _pulled(self, X: Tensor, U: Tensor, keeps_graph: bool) -> Tensor:
        """Return Jᵀ u, (n k, d), for k vectors of each row one below the other."""
        with torch.enable_grad(), Plain(ATTENTION):
            # The same numbers as X, by which the outputs are differentiated.
            rows = X.repeat_interleave(len(U) // len(X), 0)
            rows = rows if rows.requires_grad else rows.detach().requires_grad_()
            H = self.outputs(rows)
            if not H.requires_grad:  # nothing of the rows is in them
                return torch.zeros_like(rows)
            # (40) as torch has it.
            (found,) = torch.autograd.grad(
                H,
                rows,
                U,
                create_graph=keeps_graph,
                materialize_grads=True,
            )
        return found
