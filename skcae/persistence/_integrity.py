"""Models from files: what is none, or not a whole one, is refused."""

from typing import Any

from scipy import sparse
from sklearn.base import BaseEstimator

from skcae.persistence._parts import everything_in

# What scikit-learn checks parameters by.
CONSTRAINTS = "_parameter_constraints"


def check_model(estimator: Any) -> None:
    """Refuse what is no estimator, or has a model of ours in it that is not whole."""
    if not isinstance(estimator, BaseEstimator):
        raise ValueError(
            f"It holds a {type(estimator).__name__}, which is no estimator."
        )
    for part in everything_in(estimator):
        # Of the class: a file may set on an object what it likes.
        if hasattr(type(part), "_check_whole"):
            check_attributes(part)
            part._check_whole()
        elif sparse.issparse(part):
            check_indices(part)


def check_attributes(estimator: Any) -> None:
    """Refuse attributes in the place of methods, and parameters out of range."""
    for name in vars(estimator):
        of_class = getattr(type(estimator), name, None)
        is_method = callable(of_class) or isinstance(of_class, property)
        if is_method or name == CONSTRAINTS:
            raise ValueError(
                f"It has an attribute {name}, where the class has its own."
            )
    estimator._validate_params()


def check_indices(matrix: Any) -> None:
    """Refuse a sparse matrix whose indices leave it: SciPy follows them unlooked."""
    if hasattr(matrix, "check_format"):
        matrix.check_format(full_check=True)
