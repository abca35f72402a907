"""One fit of an encoder of patches: the images, and the patches drawn from them."""

import copy
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from sklearn.base import clone, is_clusterer
from sklearn.cluster import FeatureAgglomeration
from sklearn.utils.random import sample_without_replacement

from skcae._core.data.arrays import Array, to_array, torch_dtype, working_dtype
from skcae._core.data.modes import plainly
from skcae._core.data.rows import Rows, row_slices
from skcae._core.layers.images import Pair, Shape
from skcae._core.layers.patches import Patches, whitening
from skcae._encoders.containers import batches_of, is_stream
from skcae._encoders.namespaces import on_host
from skcae._encoders.patches import patches_of
from skcae._encoders.steps import thawed
from skcae._fit.attributes import adopt
from skcae._fit.data import CheckedData, FitData, draw_seed
from skcae._fit.images import counts_of, pair_of
from skcae._fit.pretraining import fit_encoder
from skcae._fit.streams import Stream, check_training_data, rows_of

# What images are that have their colours first.
COLOURS = (1, 3)
# What a code can be, among it what is taken from the code at rest.
RECTIFIED = ("rectified", "split")
CODES = ("transform", *RECTIFIED, "triangle")
# Parameters along the height and the width.
PAIRS = ("patch_size", "stride", "regions")


@dataclass(eq=False)
class PatchFit:
    """One fit of an encoder of patches, from the images to the model.

    Parameters
    ----------
    estimator : PatchEncoder
        Its parameters say what is to be fitted. It changes at the end of the fit only.
    given : FitData
        What `fit` was called with.

    Attributes
    ----------
    data : CheckedData
        The images, validated.
    structure : dict
        What a model keeps of its parameters, each in one form.
    """

    estimator: Any
    given: FitData
    data: CheckedData = field(init=False)
    structure: dict[str, Any] = field(init=False)

    @plainly()
    def run(self) -> None:
        """Draw patches, prepare them, and fit the encoder on them."""
        self._check_data()
        rows = patches_of(self.structure).rows_of(torch.from_numpy(self._draw()))
        mean = rows.mean(0)
        white = whitening(rows) if self.structure["whiten"] else None
        if white is not None:
            white = white.to(rows.dtype, rows.device)
            rows = white.outputs(rows)
        encoder = self._fit_encoder(to_array(rows))
        attributes = {
            "feature_names_in_": None,
            **self.data.columns,
            "encoder_": encoder,
            "patch_mean_": to_array(mean),
            "whitening_": None if white is None else to_array(white.weights),
            "_fitted_structure": self.structure,
        }
        adopt(self.estimator, attributes)

    def _check_data(self) -> None:
        """Validate the images, and settle what their patches are."""
        estimator, X = self.estimator, on_host(self.given.X)
        check_is_alone(estimator.encoder)
        shape = check_image_shape(estimator.image_shape) or shape_given(X)
        # All batches are to have the shape of the first.
        scratch = copy.copy(estimator)
        scratch.image_shape = shape
        self.data = check_training_data(
            scratch, X, None, loss="squared_error", continues=False
        )
        shape = shape or shape_of_images(self.data.X)
        n_images, n_features = self.data.X.shape
        check_images(n_images, n_features, shape)
        is_of_distances = gives_distances(estimator.encoder)
        auto = "triangle" if is_of_distances else "transform"
        self.structure = {
            "image_shape": shape,
            **{name: pair_of(name, getattr(estimator, name), shape) for name in PAIRS},
            "normalize": bool(estimator.normalize),
            "whiten": bool(estimator.whiten),
            "pooling": estimator.pooling,
            "code": auto if estimator.code == "auto" else estimator.code,
        }
        check_positions(patches_of(self.structure), self.structure["regions"])

    def _draw(self) -> Array:
        """Draw the patches that are learnt from."""
        X, patches = self.data.X, patches_of(self.structure)
        # The stride is that of encoding.
        patches = replace(patches, stride=(1, 1))
        drawn = draw_patches(
            X if isinstance(X, Stream) else [X],
            X.shape[0],
            patches,
            int(self.estimator.n_patches),
            np.random.RandomState(draw_seed(self.estimator.random_state)),
        )
        check_differ(drawn, patches)
        return drawn

    def _fit_encoder(self, rows: Array) -> Any:
        """Fit a clone of the encoder, with the callbacks that look on."""
        estimator = self.estimator
        call = {"estimator": estimator, "X": self.given.X, "y": self.given.y}
        context = estimator._init_callback_context(max_subtasks=1)
        context.call_on_fit_task_begin(**call)
        encoder = clone(estimator.encoder)
        task = context.subcontext(task_name="patches")
        fit_encoder(estimator, encoder, rows, None, None, task)
        context.call_on_fit_task_end(**call)
        return encoder


def gives_distances(encoder: Any) -> bool:
    """Tell whether an encoder is a clusterer, but for one of features."""
    return is_clusterer(encoder) and not isinstance(
        thawed(encoder), FeatureAgglomeration
    )


def check_is_alone(encoder: Any) -> None:
    """Refuse an encoder that several processes are to train.

    Raises
    ------
    ValueError
        If it has data_parallel=True.
    """
    for name, value in encoder.get_params().items():
        if name.endswith("data_parallel") and value:
            raise ValueError(
                f"A PatchEncoder centres and whitens patches by the images of its own "
                f"process, so that {name}=True of its encoder would train one model on "
                f"rows that each process prepares otherwise. Set {name}=False, and fit "
                "on one process: it takes images in batches."
            )


def check_image_shape(image_shape: Any) -> Shape | None:
    """Return height, width and channels; None leaves them to the data.

    Raises
    ------
    ValueError
        If it is no shape, or has its channels first.
    """
    if image_shape is None:
        return None
    form = "(height, width) or (height, width, channels) of positive integers, or None"
    sizes = counts_of("image_shape", image_shape, (2, 3), form)
    height, width, channels = (*sizes, 1)[:3]
    if len(sizes) == 3 and height in COLOURS and channels not in COLOURS:
        last = (width, channels, height)
        raise ValueError(
            f"image_shape={tuple(sizes)} has its channels first, but they must be "
            f"last: set image_shape={last}, and bring images that have them first "
            "into that order by numpy.moveaxis(images, 1, -1)."
        )
    return height, width, channels


def shape_given(X: Any) -> Shape | None:
    """Return the shape of images that come as such, at once or in batches."""
    if is_stream(X) and not isinstance(X, Iterator):
        X = next((on_host(rows_of(batch)) for batch in batches_of(X)), None)
    return shape_of_images(X) if getattr(X, "ndim", 2) > 2 else None


def shape_of_images(X: Any) -> Shape:
    """Return the shape of images that is not given, by the data.

    Raises
    ------
    ValueError
        If flat rows are no square images, grey or of three channels.
    """
    found = tuple(X.shape[1:])
    if len(found) in (2, 3):
        shape = check_image_shape(found)
        assert shape is not None
        return shape
    n_features = found[0]
    for n_channels in COLOURS:
        side = math.isqrt(n_features // n_channels)
        if side * side * n_channels == n_features:
            return side, side, n_channels
    raise ValueError(
        f"X has {n_features} features, which are no square image, neither grey nor of "
        "three channels. Set image_shape to (height, width) or (height, width, "
        "channels)."
    )


def check_images(n_images: int, n_features: int, shape: Shape) -> None:
    """Refuse rows that are no such images, and a single one.

    Raises
    ------
    ValueError
        If X has other features, or one row.
    """
    if math.prod(shape) != n_features:
        raise ValueError(
            f"image_shape={shape} has {math.prod(shape)} numbers, but X has "
            f"{n_features} features. Set image_shape to the (height, width) or "
            "(height, width, channels) of the images whose rows X has."
        )
    if n_images < 2:
        raise ValueError(
            "X has one image (n_samples=1), but patches are to be of several: at "
            "least 2. Cut a large image into tiles, each a row of X."
        )


def check_positions(patches: Patches, regions: Pair) -> None:
    """Refuse patches larger than the image, and regions that have no position.

    Raises
    ------
    ValueError
        If one of them does not fit.
    """
    height, width, _ = patches.image_shape
    if patches.size[0] > height or patches.size[1] > width:
        raise ValueError(
            f"patch_size={patches.size} is larger than the images of {height} × "
            f"{width} pixels. Take a smaller patch_size."
        )
    rows, columns = patches.positions
    if regions[0] > rows or regions[1] > columns:
        raise ValueError(
            f"regions={regions} are more than the {rows} × {columns} positions that a "
            f"patch has with patch_size={patches.size} and stride={patches.stride}. "
            "Take fewer regions."
        )


def check_structure(structure: Any) -> None:
    """Refuse what a model keeps of its parameters if it is not what a fit leaves.

    Raises
    ------
    ValueError
        If it is not.
    """
    names = {"image_shape", *PAIRS, "normalize", "whiten", "pooling", "code"}
    if not isinstance(structure, dict) or set(structure) != names:
        raise ValueError(f"The structure of a PatchEncoder has the parts {names}.")
    shape = check_image_shape(structure["image_shape"])
    if structure["image_shape"] != shape:
        raise ValueError("image_shape must be (height, width, channels).")
    for name in PAIRS:
        if structure[name] != pair_of(name, structure[name], shape):
            raise ValueError(f"{name} must be a pair of integers.")
    if structure["pooling"] not in ("mean", "sum", "max"):
        raise ValueError(f"There is no pooling={structure['pooling']!r}.")
    if structure["code"] not in CODES:
        raise ValueError(f"There is no code={structure['code']!r}.")
    check_positions(patches_of(structure), structure["regions"])


def draw_patches(
    images: Iterable[Any],
    n_images: int,
    patches: Patches,
    n_patches: int,
    random_state: np.random.RandomState,
) -> Array:
    """Draw patches at random, each at most once; all of them if there are no more.

    Parameters
    ----------
    images : iterable of ndarray or CSR matrix, shape (any, n_features)
        The data, in order.
    n_images : int
        How many there are.
    patches : Patches
        The positions within an image.
    n_patches : int
        How many to draw.
    random_state : RandomState
        What to draw by.

    Returns
    -------
    drawn : ndarray of shape (min(n_patches, all), N)
        As they are in the images, in a random order.
    """
    n_positions = math.prod(patches.positions)
    n = min(n_patches, n_images * n_positions)
    chosen = np.sort(
        sample_without_replacement(n_images * n_positions, n, random_state=random_state)
    )
    image, position = np.divmod(chosen, n_positions)
    places = random_state.permutation(n)
    drawn, first = None, 0
    for piece in images:
        rows = Rows(piece, dtype=working_dtype(piece.dtype), device=torch.device("cpu"))
        drawn = np.empty((n, patches.n_numbers), rows.dtype) if drawn is None else drawn
        for part in row_slices(len(rows), rows.n_features):
            begin, end = np.searchsorted(image, [first + part.start, first + part.stop])
            if begin < end:
                cut = cut_patches(
                    rows, image[begin:end] - first, position[begin:end], patches
                )
                drawn[places[begin:end]] = cut
        first += len(rows)
    assert drawn is not None
    return drawn


def cut_patches(rows: Rows, image: Array, position: Array, patches: Patches) -> Array:
    """Return the patches at these positions of these images, (m, N)."""
    needed, which = np.unique(image, return_inverse=True)
    X = torch.empty(
        len(needed), rows.n_features, dtype=torch_dtype(rows.dtype), device="cpu"
    )
    rows.read(needed, X)
    # Positions are counted line by line.
    views = patches.views(X).numpy()
    row, column = np.divmod(position, patches.positions[1])
    found: Array = views[which, row, column].reshape(len(which), -1)
    return found


def check_differ(drawn: Array, patches: Patches) -> None:
    """Refuse patches in which there is nothing to be learnt.

    Raises
    ------
    ValueError
        If all are the same, or without contrast where only that counts.
    """
    are_constant = patches.normalize and (drawn == drawn[:, :1]).all()
    if are_constant or (drawn == drawn[0]).all():
        raise ValueError(
            f"The {len(drawn)} patches that were drawn are all "
            f"{'constant' if are_constant else 'the same'}: there is nothing to learn "
            "from such images. Check that X has the images, in the order of "
            f"image_shape={patches.image_shape}."
        )
