"""An encoder of patches as one of images: pooled codes of all positions."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from numbers import Integral
from typing import Any, ClassVar, Self

import numpy as np
import torch
from joblib import effective_n_jobs
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    MetaEstimatorMixin,
    TransformerMixin,
    _fit_context,
)
from sklearn.callback import CallbackSupportMixin
from sklearn.utils import gen_even_slices
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from skcae._core.data.arrays import (
    Array,
    device_for,
    resolve_device_or_cpu,
    to_array,
    torch_dtype,
    working_dtype,
)
from skcae._core.data.evaluation import map_rows
from skcae._core.data.tensors import rows_of
from skcae._core.layers.chain import Chain
from skcae._core.layers.dense import Dense
from skcae._core.layers.images import Shape
from skcae._core.layers.layer import Affine, Layer
from skcae._core.layers.patches import joined
from skcae._core.layers.rectified import Rectified
from skcae._core.layers.regions import Encode, PatchCodes, PooledPatches
from skcae._encoders.namespaces import joined as joined_rows
from skcae._encoders.namespaces import like
from skcae._encoders.patches import codes_of, layers_of, patches_of
from skcae._encoders.tensors import stored
from skcae._estimators.integrity import check_arrays, check_n_features_in
from skcae._fit.data import FitData, check_X
from skcae._fit.images import flat_images
from skcae._fit.patches import (
    CODES,
    RECTIFIED,
    PatchFit,
    check_image_shape,
    check_structure,
    shape_of_images,
)
from skcae.activations import ACTIVATIONS

COUNT = Interval(Integral, 1, None, closed="left")


@dataclass(repr=False, eq=False, kw_only=True)
class PatchEncoder(
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    MetaEstimatorMixin,
    CallbackSupportMixin,
    BaseEstimator,
):
    r"""Encodes images by the patches in them, pooled over regions.

    Patches are drawn from the training images, less their brightness and contrast, and
    whitened, and the encoder is fitted on them. An image is then encoded at every
    position, and the codes are joined over each of a few regions [1]_. So a layer that
    is made for small rows of numbers gives features of large images in colour.

    Parameters
    ----------
    encoder : estimator
        What encodes a patch: any transformer, such as an autoencoder of skcae, PCA or
        a random projection, or any clusterer whose `transform` gives distances, such as
        KMeans. It is cloned and fitted on patches, unless it is in scikit-learn's
        `FrozenEstimator`. Whitened patches are of either sign: give an autoencoder the
        squared error.

    image_shape : tuple of int or None, default=None
        (height, width) or (height, width, channels) of an image, with the channels
        last. Rows are flat, in C order, or arrays (n_samples, height, width, channels).
        None is the shape that X has; of flat rows a square, grey or of three channels.

    patch_size : int or (int, int), default=6
        Height and width of a patch.

    n_patches : int, default=100_000
        How many patches to fit on, drawn from all positions of all images alike. No
        patch is drawn twice: where there are no more than that, all are taken. Of many
        units k-means wants more: 1,600 were better with 400,000.

    normalize : bool, default=True
        Whether from each patch its mean is taken, and it is divided by
        :math:`\sqrt{\mathrm{var} + 10 / 255^2}`. The constant is for pixels in [0, 1].

    whiten : bool, default=True
        Whether patches are whitened (ZCA), with 0.1 added to each variance.

    stride : int or (int, int), default=1
        How far it is from one position to the next where images are encoded.

    regions : int or (int, int), default=(2, 2)
        Into how many regions the positions are cut, along the height and the width. If
        they do not divide them, the first ones are longer by one.

    pooling : {"mean", "sum", "max"}, default="mean"
        What joins the codes of a region. "sum" adds up what they differ by from the
        code of the mean patch, such as φ(b): a sum of the codes themselves would be
        mostly a constant. To a mean that would be a shift, and a maximum is one of the
        codes: these stay as they are.

    code : {"auto", "transform", "rectified", "split", "triangle"}, default="auto"
        "transform" is what the encoder's `transform` gives. "rectified" is by how much
        a unit is above `resting_code_`, and "split" makes two of each unit, as [2]_
        does: by how much it is above, and by how much below. Where a unit is now above
        and now below, these do not cancel in a sum. "triangle" makes of distances z_k
        the code max(0, mean(z) − z_k) of [1]_. "auto" is the triangle for clusterers,
        and "transform" for all else.

    random_state : int, RandomState instance or None, default=None
        Determines which patches are drawn. The encoder has its own.

    n_jobs : int or None, default=None
        How many parts of the images are encoded at once, each in a thread. None is 1
        unless in a `joblib.parallel_backend`.

    Attributes
    ----------
    encoder_ : estimator
        The encoder that was fitted on patches.

    patch_mean_ : ndarray of shape (patch_size,)
        The mean of the patches, flat, after `normalize`.

    whitening_ : ndarray of shape (patch_size, patch_size)
        P, by which patches less `patch_mean_` are multiplied. Only with `whiten=True`.

    resting_code_ : ndarray of shape (n_components,)
        The code of the mean patch, before it is rectified.

    code_shape_ : tuple of int
        Regions along the height and the width, and the components of a patch's code,
        after that. `transform` gives them as a row in that order.

    n_features_in_ : int
        Number of features seen during fit.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, if X had any.

    See Also
    --------
    ConvolutionalCAE : Filters that are trained on whole images.
    sklearn.feature_extraction.image.PatchExtractor : Gives the patches themselves.

    Notes
    -----
    Where the encoder is made of layers, its first one takes in the whitening: patches
    are encoded by one matrix product. The triangle of k-means is a layer, too, with the
    whitening below it. Whatever the encoder, those of a few images are
    encoded at a time, and pooled at once, so that memory does not grow with the number
    of images.

    Images of which the patches are drawn are those that `fit` gets: in a pipeline that
    is cross-validated, those of the training fold.

    References
    ----------
    .. [1] A. Coates, H. Lee and A. Y. Ng, "An Analysis of Single-Layer Networks in
       Unsupervised Feature Learning", AISTATS 2011.
    .. [2] A. Coates and A. Y. Ng, "The Importance of Encoding Versus Training with
       Sparse Coding and Vector Quantization", ICML 2011.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skcae import ContractiveAutoencoder, PatchEncoder
    >>> X = load_digits().data / 16
    >>> cae = ContractiveAutoencoder(24, max_iter=10, tol=0.1, random_state=0)
    >>> encoder = PatchEncoder(cae, patch_size=4, n_patches=5000, random_state=0).fit(X)
    >>> encoder.code_shape_
    (2, 2, 24)
    >>> encoder.transform(X).shape
    (1797, 96)
    """

    encoder: Any = field(kw_only=False)
    image_shape: Sequence[int] | None = None
    patch_size: int | Sequence[int] = 6
    n_patches: int = 100_000
    normalize: bool = True
    whiten: bool = True
    stride: int | Sequence[int] = 1
    regions: int | Sequence[int] = (2, 2)
    pooling: str = "mean"
    code: str = "auto"
    random_state: Any = None
    n_jobs: int | None = None

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "encoder": [HasMethods(["fit", "transform"])],
        "image_shape": ["array-like", None],
        "patch_size": [COUNT, "array-like"],
        "n_patches": [COUNT],
        "normalize": ["boolean"],
        "whiten": ["boolean"],
        "stride": [COUNT, "array-like"],
        "regions": [COUNT, "array-like"],
        "pooling": [StrOptions({"mean", "sum", "max"})],
        "code": [StrOptions({"auto", *CODES})],
        "random_state": ["random_state"],
        "n_jobs": [Integral, None],
    }

    # Fitted attributes, documented above.
    encoder_: ClassVar[Any]
    patch_mean_: ClassVar[Array]
    whitening_: ClassVar[Array]
    # The model is what it was fitted as, whatever its parameters have become since.
    _fitted_structure: ClassVar[dict[str, Any]]

    # ---- fitting ----------------------------------------------------------------

    # The encoder is to be validated when it is fitted.
    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Any, y: Any = None) -> Self:
        """Fit the encoder on patches of the images.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features), or iterable
            Images, with pixels in [0, 1]. An iterable gives batches of them, from the
            start each time that it is iterated over.

        y : Ignored
            Not used, present for consistency with scikit-learn. It is handed to
            callbacks.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If a parameter or the data is not usable. The estimator is then what it was
            before.
        """
        PatchFit(self, FitData(X, y)).run()
        return self

    def _as_rows(self, X: Any) -> Any:
        """Return X with a row for each image, whatever dimensions it comes in."""
        if getattr(X, "ndim", 2) <= 2:
            return X
        known = getattr(self, "_fitted_structure", {}).get("image_shape")
        shape = known or check_image_shape(self.image_shape) or shape_of_images(X)
        return flat_images(X, shape)

    # ---- the fitted model -------------------------------------------------------

    def transform(self, X: Any) -> np.ndarray:
        """Encode images.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Images.

        Returns
        -------
        H : ndarray of shape (n_samples, n_regions · n_components)
            The pooled codes, region by region, float32 for float32 data and float64
            otherwise.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        ValueError
            If X is not usable or has another number of features.
        """
        check_is_fitted(self)
        images = check_X(self, X)
        n_images = images.shape[0]
        n_parts = min(n_images, effective_n_jobs(self.n_jobs))
        if n_parts == 1:
            return like(self._encoded(images, slice(None)), X)
        run = Parallel(n_jobs=n_parts, prefer="threads")
        slices = gen_even_slices(n_images, n_parts)
        parts = run(
            delayed(self._encoded)(images, np.arange(n_images)[part]) for part in slices
        )
        return like(joined_rows(parts), X)

    def _encoded(self, X: Any, subset: np.ndarray | slice) -> Any:
        """Return the pooled codes of images, a few of them at a time."""
        dtype, rest = working_dtype(X.dtype), stored(self.resting_code_)
        layer = self._layer(rest)
        encode: Encode
        if layer is None:
            device = torch.device("cpu")
            white = self._whitening()
            white = None if white is None else white.to(torch_dtype(dtype), device)
            pool, encode = self._pool(rest), partial(self._patch_codes, white, rest)
        else:
            name = getattr(self.encoder_, "device", None)
            device = resolve_device_or_cpu(device_for(name, X), dtype)
            layer = layer.to(torch_dtype(dtype), device)
            pool, encode = layer.pool, layer.encode
        n_numbers = math.prod(pool.code_shape)
        return map_rows(
            rows_of(X, dtype=dtype, device=device, subset=subset),
            lambda rows, out: out.copy_(pool.outputs(rows, encode)),
            shape=(n_numbers,),
            width=max(pool.n_inputs, n_numbers),
            n_multiplications=pool.n_multiplications,
        )

    @property
    def resting_code_(self) -> Array:
        """The code of the mean patch, of the encoder as it is now."""
        structure = self._fitted_structure
        # Whitened, the mean patch is 0.
        mean = stored(0 * self.patch_mean_ if structure["whiten"] else self.patch_mean_)
        return to_array(codes_of(self.encoder_, mean[None], structure["code"])[0])

    @property
    def code_shape_(self) -> Shape:
        """Regions along the height and the width, and the components of a code."""
        return self._pool(stored(self.resting_code_)).code_shape

    @property
    def _n_features_out(self) -> int:
        return math.prod(self.code_shape_)

    def _pool(self, rest: Tensor) -> PooledPatches:
        """Return what joins the codes of patches, of which this is the one at rest."""
        structure, rectified = self._fitted_structure, self._rectified(rest)
        return PooledPatches(
            patches_of(structure),
            structure["regions"],
            structure["pooling"],
            # Rectified, it is 0.
            rest if rectified is None else rest.new_zeros(rectified.n_units),
        )

    def _rectified(self, rest: Tensor) -> Rectified | None:
        """Return the layer that rectifies a code, if it is to be."""
        code = self._fitted_structure["code"]
        if code not in RECTIFIED:
            return None
        return Rectified(rest, code == "split")

    def _whitening(self) -> Dense | None:
        """Return the layer that whitens patches, in float64, if they are whitened."""
        if not self._fitted_structure["whiten"]:
            return None
        P, mean = (stored(a).double() for a in (self.whitening_, self.patch_mean_))
        return Dense(P, -P @ mean, ACTIVATIONS["identity"])

    def _patch_codes(self, white: Dense | None, rest: Tensor, rows: Tensor) -> Tensor:
        """Return the codes that the encoder gives to patches, (m, N) → (m, K)."""
        rows = rows if white is None else white.outputs(rows)
        H = codes_of(self.encoder_, rows, self._fitted_structure["code"])
        rectified = self._rectified(rest)
        return H if rectified is None else rectified.to(H.dtype, H.device).outputs(H)

    def _layer(self, rest: Tensor) -> PatchCodes | None:
        """Return all of it as one layer in float64, if the encoder is made of some."""
        layers = layers_of(self.encoder_, self._fitted_structure["code"])
        if not layers:
            return None
        white = self._whitening()
        if white is not None:
            first, *others = layers
            if isinstance(first, Affine):
                layers = [joined(white, first), *others]
            else:
                layers = [white, *layers]
        rectified = self._rectified(rest)
        layers = layers if rectified is None else [*layers, rectified]
        layer = PatchCodes(self._pool(rest), Chain(tuple(layers)))
        return layer.to(torch.float64, torch.device("cpu"))

    # ---- what anything that takes a fitted model asks it ------------------------

    def _encoding_layers(self) -> list[Layer]:
        """Return what encodes: one layer, with the patches and the pooling in it."""
        check_is_fitted(self)
        layer = self._layer(stored(self.resting_code_))
        if layer is None:
            raise TypeError(
                f"The patches of this PatchEncoder are encoded by a "
                f"{type(self.encoder_).__name__}, which has no layers to be "
                "differentiated. Take an autoencoder of skcae, a BernoulliRBM, or "
                "KMeans with code='triangle', and none in a pipeline."
            )
        return [layer]

    def _code_size(self) -> float:
        """Return the size of the code, which the images decide."""
        return math.inf

    def _check_whole(self) -> None:
        """Refuse to be a model whose parts do not fit each other."""
        if not hasattr(self, "encoder_"):
            return
        check_structure(self._fitted_structure)
        patches = patches_of(self._fitted_structure)
        check_n_features_in(self, math.prod(patches.image_shape))
        n = patches.n_numbers
        shapes: dict[str, tuple[int, ...]] = {"patch_mean_": (n,)}
        if self._fitted_structure["whiten"]:
            shapes["whitening_"] = (n, n)
        check_arrays({name: getattr(self, name, None) for name in shapes}, shapes)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.array_api_support = True
        tags.input_tags.sparse = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
