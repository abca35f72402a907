"""The penalties for encoders that are torch modules, in training loops of your own."""

from skcae.functional._penalties import hessian_penalty, jacobian_penalty

__all__ = ["hessian_penalty", "jacobian_penalty"]
