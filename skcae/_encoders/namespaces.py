"""Arrays of any library that follows the array API: taken as tensors, given back alike.

scikit-learn asks for it by `set_config(array_api_dispatch=True)`. Rows stay where they
are, and what is computed of them is of their library and on their device. Of labels and
weights, a number for each row, NumPy has a copy.
"""

from typing import Any

import numpy as np
import torch
from sklearn._config import get_config
from sklearn.externals.array_api_compat import (
    is_array_api_obj,
    is_dask_array,
    is_numpy_array,
)
from sklearn.utils._array_api import get_namespace_and_device, move_to
from torch import Tensor

from skcae._core.data.arrays import Array, array_of
from skcae._encoders.containers import check_is_dense, opened


def is_dispatched(X: Any) -> bool:
    """Tell whether X is an array that is to stay of its library and on its device."""
    if not get_config()["array_api_dispatch"] or is_numpy_array(X):
        return False
    return is_array_api_obj(X) and not is_dask_array(X)


def tensor_of(X: Any) -> Tensor:
    """Return an array of any library as a tensor, where it is and without a copy."""
    if not isinstance(X, Tensor):
        # Says, as scikit-learn does, what the dispatch needs.
        get_namespace_and_device(X)
        X = torch.utils.dlpack.from_dlpack(X)
    tensor: Tensor = X
    check_is_dense(tensor, "X")
    if tensor.is_complex():
        raise ValueError(
            f"Complex data not supported: X is of {tensor.dtype}. Pass the real "
            "and the imaginary parts as columns."
        )
    # A sign may be a mark on the tensor.
    return tensor.detach().resolve_neg()


def received(X: Any) -> tuple[Any, Any]:
    """Return X as scikit-learn's checks read it, and the dtype they are to give it."""
    return (tensor_of(X), "numeric") if is_dispatched(X) else opened(X)


def on_host(X: Any) -> Any:
    """Return an array of any library as one of NumPy, and anything else as it is."""
    return array_of(tensor_of(X)) if is_dispatched(X) else X


def like(result: Any, X: Any) -> Array:
    """Return what was computed of X as an array of its library, on its device.

    The types of all methods speak of NumPy's, which without a dispatch they are.
    """
    if isinstance(result, Tensor):
        xp, _, device = get_namespace_and_device(X)
        result = move_to(result, xp=xp, device=device)
    given: Array = result
    return given


def labels_like(labels: Array, X: Any) -> Array:
    """Return labels likewise, but for those that NumPy alone has, such as strings."""
    are_numbers = labels.dtype.kind in "biuf"
    return (
        like(torch.from_numpy(labels), X)
        if is_dispatched(X) and are_numbers
        else labels
    )


def joined(parts: list[Any]) -> Any:
    """Put arrays, or tensors, under each other."""
    return torch.cat(parts) if isinstance(parts[0], Tensor) else np.concatenate(parts)
