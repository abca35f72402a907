"""Codes of patches by any encoder, of skcae or not."""

from typing import Any

import numpy as np
from scipy import sparse
from sklearn.cluster import BisectingKMeans, KMeans, MiniBatchKMeans
from torch import Tensor

from skcae._core.data.arrays import to_array, to_tensor
from skcae._core.layers.layer import Layer
from skcae._core.layers.patches import Patches
from skcae._core.layers.triangle import Triangle, nearer_than_average
from skcae._encoders.steps import encoding_layers, split_steps, thawed
from skcae._encoders.tensors import stored

# Those whose `transform` gives the distances from `cluster_centers_`.
KMEANS = (KMeans, MiniBatchKMeans, BisectingKMeans)


def patches_of(structure: dict[str, Any]) -> Patches:
    """Return the patches that a model's parameters ask for."""
    return Patches(
        structure["image_shape"],
        structure["patch_size"],
        structure["stride"],
        structure["normalize"],
    )


def layers_of(encoder: Any, code: str) -> list[Layer]:
    """Return the layers of a fitted encoder's code, if it is made of nothing else."""
    if code == "triangle":
        encoder = thawed(encoder)
        is_known = isinstance(encoder, KMEANS)
        return [Triangle(stored(encoder.cluster_centers_))] if is_known else []
    try:
        steps, encoders = split_steps(encoder)
        return [] if steps else encoding_layers(encoders)
    except TypeError:  # it has none
        return []


def codes_of(encoder: Any, rows: Tensor, code: str) -> Tensor:
    """Return the codes that a fitted encoder gives to patches, (m, N) → (m, K).

    What is to be rectified is not yet.
    """
    given = to_array(rows)
    found = encoder.transform(given)
    found = found.toarray() if sparse.issparse(found) else np.asarray(found)
    H = to_tensor(found, given.dtype, rows.device)
    if code != "triangle":
        return H
    return nearer_than_average(H)
