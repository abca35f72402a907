"""The geometry of a fitted encoder."""

from skcae.inspection._measures import jacobian_norm, saturation

__all__ = ["jacobian_norm", "saturation"]
