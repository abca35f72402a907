"""The geometry of a fitted encoder."""

from skcae.inspection._contraction import contraction_ratio
from skcae.inspection._measures import jacobian, jacobian_norm, saturation
from skcae.inspection._spectrum import singular_values, tangent_vectors
from skcae.inspection._walk import sample

__all__ = [
    "contraction_ratio",
    "jacobian",
    "jacobian_norm",
    "sample",
    "saturation",
    "singular_values",
    "tangent_vectors",
]
