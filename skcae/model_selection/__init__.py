"""How strong the contraction is to be: the scale of λ, grids of it, and a search."""

from skcae.model_selection._scale import jacobian_penalty_grid, jacobian_penalty_max
from skcae.model_selection._search import ContractiveAutoencoderCV

__all__ = [
    "ContractiveAutoencoderCV",
    "jacobian_penalty_grid",
    "jacobian_penalty_max",
]
