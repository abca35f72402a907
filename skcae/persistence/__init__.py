"""Models in files: whole, without pickle, or their weights alone.

`save` and `load` take any estimator of skcae, and pipelines with some in them. The
format is that of skops, which builds only objects of types that it trusts and those of
skcae, and runs nothing from a file.
"""

from skcae.persistence._files import get_weights, load, save, set_weights

__all__ = ["get_weights", "load", "save", "set_weights"]
