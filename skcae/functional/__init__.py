"""For training loops of one's own in torch: the penalties, and models as modules."""

from skcae.functional._bridge import from_module, to_module
from skcae.functional._penalties import hessian_penalty, jacobian_penalty

__all__ = ["from_module", "hessian_penalty", "jacobian_penalty", "to_module"]
