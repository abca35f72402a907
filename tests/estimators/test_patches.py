"""PatchEncoder: images encoded by their patches."""

import pickle
from inspect import signature

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from onnxruntime import InferenceSession
from scipy import sparse
from sklearn.base import clone
from sklearn.cluster import FeatureAgglomeration, KMeans
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.neural_network import BernoulliRBM
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.random_projection import SparseRandomProjection
from sklearn.utils.estimator_checks import parametrize_with_checks

from skcae import (
    Autoencoder,
    ContractiveAutoencoder,
    FineTunedClassifier,
    ModuleAutoencoder,
    PatchEncoder,
    StackedCAE,
)
from skcae.inspection import (
    FilterDisplay,
    jacobian,
    jacobian_norm,
    reconstruction_losses,
    sample,
)
from skcae.onnx import to_onnx
from skcae.persistence import get_weights, load, save, set_weights
from tests.conftest import write_unchecked

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning",
    "ignore:X (has|does not have valid) feature names:UserWarning",
)

SHAPE = (8, 10, 3)
HOW = {"max_iter": 3, "tol": 1.0, "random_state": 0}
CAE = ContractiveAutoencoder(6, **HOW)
DISTANCES = KMeans(4, n_init=1, max_iter=5, random_state=0)
X = np.random.default_rng(0).random((20, 240))


def make(encoder=CAE, **how):
    defaults = {"image_shape": SHAPE, "patch_size": 3, "n_patches": 400}
    return PatchEncoder(encoder, **{**defaults, "random_state": 0, **how})


def naive(model, X):
    """Encode each position of each image by what the fitted encoder says."""
    structure = model.get_params(deep=False)
    step, size = structure["stride"], structure["patch_size"]
    codes = []
    for image in X.reshape(-1, *SHAPE):
        for top in range(0, SHAPE[0] - size + 1, step):
            for left in range(0, SHAPE[1] - size + 1, step):
                z = image[top : top + size, left : left + size].ravel()
                if model.normalize:
                    z = (z - z.mean()) / np.sqrt(z.var() + 10 / 255**2)
                if model.whiten:
                    z = model.whitening_ @ (z - model.patch_mean_)
                codes.append(z)
    H = model.encoder_.transform(np.array(codes))
    if isinstance(model.encoder_, KMeans) and model.code == "auto":
        H = np.maximum(0, H.mean(1, keepdims=True) - H)
    n_rows, n_columns = ((SHAPE[axis] - size) // step + 1 for axis in (0, 1))
    H = H.reshape(len(X), n_rows, n_columns, -1)
    join = {"mean": np.mean, "sum": np.sum, "max": np.max}[model.pooling]
    if model.code in ("rectified", "split"):
        H = H - model.resting_code_
        both = np.concatenate([H, -H], -1) if model.code == "split" else H
        H = np.maximum(0, both)
    elif model.pooling == "sum":
        H = H - model.resting_code_
    return np.concatenate(
        [
            join(block, axis=(1, 2))
            for line in np.array_split(H, model.regions[0], axis=1)
            for block in np.array_split(line, model.regions[1], axis=2)
        ],
        axis=1,
    )


@pytest.mark.parametrize("encoder", [CAE, DISTANCES, PCA(4)], ids=str)
@pytest.mark.parametrize("pooling", ["mean", "sum", "max"])
@pytest.mark.parametrize(
    "how",
    [
        *({}, {"stride": 2, "regions": (1, 3)}, {"whiten": False}),
        *({"normalize": False}, {"code": "rectified"}, {"code": "split"}),
    ],
    ids=str,
)
def test_codes_are_those_of_a_loop_over_patches(encoder, pooling, how):
    model = make(encoder, **{"regions": (2, 2), "pooling": pooling, **how}).fit(X)
    expected = naive(model, X[:3])
    assert_allclose(model.transform(X[:3]), expected, rtol=1e-10, atol=1e-10)
    n_units = len(model.resting_code_) * (2 if model.code == "split" else 1)
    assert model.code_shape_ == (*model.regions, n_units)
    assert model.get_feature_names_out()[-1] == f"patchencoder{expected.shape[1] - 1}"


@pytest.mark.parametrize(
    "encoder",
    [
        StackedCAE((6, 4), **HOW),
        make_pipeline(CAE, Autoencoder(4, **HOW)),
        make_pipeline(StandardScaler(), CAE),
        BernoulliRBM(4, n_iter=1, random_state=0),
        ModuleAutoencoder(n_components=4, **HOW),
        SparseRandomProjection(4, random_state=0),
    ],
    ids=lambda encoder: type(encoder).__name__,
)
def test_any_transformer_encodes_patches(encoder):
    model = make(encoder).fit(X)
    assert_allclose(model.transform(X[:3]), naive(model, X[:3]), rtol=1e-9, atol=1e-10)


def test_sums_of_codes_lie_about_zero():
    """A patch where there is nothing to see adds nothing: its code is φ(b)."""
    model = make(pooling="sum").fit(X)
    b = model.encoder_.intercept_hidden_
    assert_allclose(model.resting_code_, 1 / (1 + np.exp(-b)), rtol=1e-12)
    mean = clone(model).set_params(pooling="mean").fit(X).transform(X)
    # Each region has 3 × 4 positions.
    difference = mean - np.tile(model.resting_code_, 4)
    assert_allclose(model.transform(X), 12 * difference)
    assert abs(difference).mean() < 0.2 * mean.mean()


def test_the_code_can_be_chosen():
    distances = make(DISTANCES, code="transform").fit(X)
    assert (distances.resting_code_ > 0).all()
    assert (make(DISTANCES).fit(X).resting_code_ == 0).any()
    triangle = make(PCA(4), code="triangle").fit(X).transform(X)
    assert (triangle >= 0).all()


@pytest.mark.parametrize("encoder", [CAE, PCA(4)], ids=str)
def test_halves_of_a_code_differ_by_the_code(encoder):
    halves = make(encoder, code="split", pooling="sum").fit(X).transform(X)
    above, below = np.moveaxis(halves.reshape(len(X), 4, 2, -1), 2, 0)
    assert (halves >= 0).all()
    assert (halves > 0).any(0).all()
    for code, expected in (("transform", above - below), ("rectified", above)):
        found = make(encoder, code=code, pooling="sum").fit(X).transform(X)
        assert_allclose(found, expected.reshape(len(X), -1), atol=1e-10)


# ---- what images may come in --------------------------------------------------------


def test_flat_rows_and_images_are_the_same():
    model = make(n_patches=100).fit(X)
    images = X.reshape(-1, *SHAPE)
    for again in (images, sparse.csr_array(X)):
        same = make(n_patches=100).fit(again)
        assert_array_equal(same.transform(again), model.transform(X))
    inferred = make(n_patches=100, image_shape=None).fit(images)
    assert_array_equal(inferred.transform(X), model.transform(X))


@pytest.mark.parametrize(("n", "shape"), [(64, (8, 8, 1)), (192, (8, 8, 3))])
def test_the_shape_of_square_images_is_seen(n, shape):
    Z = np.random.default_rng(0).random((6, n))
    model = make(PCA(2), image_shape=None).fit(Z)
    same = make(PCA(2), image_shape=shape).fit(Z)
    assert_array_equal(model.transform(Z), same.transform(Z))


class Batches:
    """Images in batches; from the second pass on so many, and changed."""

    def __init__(self, images, n_later=None, change=np.asarray):
        self.images, self.n_later, self.change = images, n_later, change
        self.n_passes = 0

    def __iter__(self):
        self.n_passes += 1
        n = self.n_later if self.n_passes > 1 else None
        for start in range(0, len(self.images[:n]), 7):
            batch = self.images[:n][start : start + 7]
            yield self.change(batch) if start else batch


def test_a_stream_gives_the_same_patches():
    model = make().fit(X)
    streamed = make().fit(Batches(X))
    assert_array_equal(streamed.transform(X), model.transform(X))


@pytest.mark.parametrize("n_later", [6, 14])
def test_a_stream_has_as_many_images_in_each_pass(n_later):
    """Or there would be no patches where they are drawn from."""
    with pytest.raises(ValueError, match=f"X had 20 rows .* now it has {n_later}"):
        make().fit(Batches(X, n_later))


def test_a_stream_of_images_tells_their_shape():
    images = np.random.default_rng(0).random((20, 6, 8, 3))
    model = make(image_shape=None).fit(Batches(images))
    whole = make(image_shape=None).fit(images)
    assert model.image_shape is None
    assert_allclose(model.patch_mean_, whole.patch_mean_)
    assert_allclose(model.transform(images), whole.transform(images))
    turned = Batches(images, change=lambda batch: batch.transpose(0, 2, 1, 3))
    with pytest.raises(ValueError, match=r"Rows 7 to 13 .* the shape \(7, 8, 6, 3\)"):
        make(image_shape=None).fit(turned)


def test_single_precision_stays(tmp_path):
    mapped = np.memmap(tmp_path / "X", np.float32, "w+", shape=X.shape)
    mapped[:] = X
    model = make().fit(mapped)
    H = model.transform(mapped)
    assert H.dtype == model.whitening_.dtype == np.float32
    assert_allclose(H, naive(model, X[:, :]), rtol=1e-3, atol=1e-4)


def test_all_patches_are_taken_once_if_there_are_no_more():
    class Keeps(PCA):
        def fit_transform(self, X, y=None):
            raise AssertionError

        def fit(self, X, y=None):
            self.seen_ = X.copy()
            return super().fit(X)

    model = make(Keeps(2), normalize=False, whiten=False, n_patches=10**6)
    seen = model.fit(X[:2]).encoder_.seen_
    assert seen.shape == (2 * 6 * 8, 27)
    assert len(np.unique(seen, axis=0)) == len(seen)
    assert not np.array_equal(seen[0], X[0].reshape(SHAPE)[:3, :3].ravel())
    some = clone(model).set_params(n_patches=30).fit(X).encoder_.seen_
    assert len(np.unique(some, axis=0)) == 30
    windows = {tuple(row) for row in clone(model).fit(X).encoder_.seen_}
    assert {tuple(row) for row in some} <= windows


@pytest.mark.parametrize("n_jobs", [2, -1])
def test_threads_give_the_same_codes(n_jobs):
    model = make(DISTANCES).fit(X)
    H = model.transform(X)
    assert_array_equal(model.set_params(n_jobs=n_jobs).transform(X), H)


@pytest.mark.parametrize("n_jobs", [1, 3])
def test_rows_on_a_disk_have_their_number_in_any_thread(n_jobs, tmp_path):
    model = make(n_jobs=n_jobs).fit(X)
    bad = X.copy()
    bad[13, 5] = np.nan
    np.save(tmp_path / "X.npy", bad)
    with pytest.raises(ValueError, match=r"row 13 .* has the value nan in column 5"):
        model.transform(np.load(tmp_path / "X.npy", mmap_mode="r"))


# ---- what is refused ----------------------------------------------------------------

FIRST = np.moveaxis(X.reshape(-1, *SHAPE), -1, 1)
CONSTANT = np.repeat(np.linspace(0.1, 0.9, 20)[:, None], 240, axis=1)


def with_nan(Z):
    Z = Z.copy()
    Z[3, 5] = np.nan
    return Z


@pytest.mark.parametrize(
    ("how", "Z", "words"),
    [
        ({}, X[:, 1:], r"image_shape=\(8, 10, 3\) has 240 numbers, but X has 239"),
        ({"image_shape": None}, X, r"240 features, which are no square .* Set image_"),
        ({"image_shape": (3, 8, 10)}, X, r"channels first, .* set image_shape=\(8, 10"),
        ({"image_shape": (8, 0, 3)}, X, r"must be \(height, width\) or"),
        ({}, FIRST, r"channels first, but .* Pass numpy.moveaxis\(X, 1, -1\)"),
        ({"image_shape": None}, FIRST, r"channels first, .* image_shape=\(8, 10, 3\)"),
        ({}, X[0].reshape(SHAPE), r"X has the shape \(8, 10, 3\), but .* \(n, 8, 10"),
        ({"patch_size": (3, 11)}, X, r"patch_size=\(3, 11\) is larger .* 8 × 10 pix"),
        ({"regions": (7, 2)}, X, r"regions=\(7, 2\) are more than the 6 × 8 posit"),
        ({}, X[:1], r"X has one image .* Cut a large image into tiles"),
        ({}, CONSTANT, r"400 patches that were drawn are all constant: there is noth"),
        ({"normalize": False}, 0 * X + 0.5, r"drawn are all the same"),
        ({}, with_nan(X), r"Input X contains NaN"),
        ({"pooling": "min"}, X, r"'pooling' parameter of PatchEncoder must be"),
    ],
)
def test_what_cannot_be_used_is_refused(how, Z, words):
    model = make(**how)
    with pytest.raises(ValueError, match=words):
        model.fit(Z)
    assert not [name for name in vars(model) if name.endswith("_")]


def test_what_does_not_fit_the_model_is_refused():
    model = make().fit(X)
    with pytest.raises(ValueError, match="contains NaN"):
        model.transform(with_nan(X))
    with pytest.raises(ValueError, match="239 features, but PatchEncoder is expecting"):
        model.transform(X[:, 1:])
    with pytest.raises(ValueError, match=r"X has the shape \(20, 10, 8, 3\)"):
        model.transform(X.reshape(-1, 10, 8, 3))
    with pytest.raises(NotFittedError):
        make().transform(X)


def test_a_refit_that_is_refused_leaves_the_model():
    model = make().fit(X)
    H = model.transform(X)
    with pytest.raises(ValueError, match="one image"):
        model.set_params(stride=2, pooling="max").fit(X[:1])
    assert_array_equal(model.transform(X), H)


# ---- with the rest of the library ---------------------------------------------------


def test_pickled_cloned_and_in_a_file(tmp_path):
    model = make(pooling="sum").fit(X)
    H = model.transform(X)
    assert_array_equal(pickle.loads(pickle.dumps(model)).transform(X), H)
    assert_array_equal(clone(model).fit(X).transform(X), H)
    save(model, tmp_path / "model.skops")
    assert_array_equal(load(tmp_path / "model.skops").transform(X), H)


def test_a_frozen_encoder_is_not_fitted():
    patches = np.random.default_rng(1).normal(size=(50, 27))
    cae = clone(CAE).fit(patches)
    model = make(FrozenEstimator(cae)).fit(X)
    assert_array_equal(model.encoder_.estimator.components_, cae.components_)
    assert_allclose(model.transform(X[:2]), naive(model, X[:2]))


@pytest.mark.parametrize(
    ("encoder", "pooling", "code"),
    [
        *((CAE, "mean", "auto"), (CAE, "max", "auto"), (DISTANCES, "mean", "auto")),
        *((CAE, "mean", "rectified"), (CAE, "max", "split")),
    ],
)
def test_pooled_codes_are_inspected(encoder, pooling, code):
    model = make(encoder, pooling=pooling, code=code).fit(X)
    J = jacobian(model, X[:2])
    step = 1e-6 * np.random.default_rng(0).normal(size=X[:2].shape)
    change = model.transform(X[:2] + step) - model.transform(X[:2] - step)
    assert_allclose(np.einsum("nhd,nd->nh", J, 2 * step), change, atol=1e-10)
    norms = np.linalg.norm(J, axis=(1, 2))
    assert_allclose(jacobian_norm(model, X[:2]), norms)


@pytest.mark.parametrize(
    ("encoder", "code", "shapes"),
    [
        (CAE, "transform", [(6, 27), (6,)]),
        (CAE, "split", [(6, 27), (6,)]),
        (DISTANCES, "triangle", [(27, 27), (27,), (4, 27)]),
    ],
)
def test_pooled_codes_are_fine_tuned(encoder, code, shapes):
    y = X.mean(1) > np.median(X.mean(1))
    tuning = {"max_iter": 40, "tol": 1.0, "learning_rate": 0.05, "random_state": 0}
    patches = make(encoder, code=code, normalize=False)
    classifier = FineTunedClassifier(patches, **tuning).fit(X, y)
    before = classifier.encoder_._encoding_layers()[0].parameters
    after = classifier.hidden_parameters_
    assert [part.shape for part in after.values()] == shapes
    assert not np.allclose(next(iter(after.values())), next(iter(before.values())))
    assert classifier.predict(X).shape == y.shape


@pytest.mark.parametrize("code", ["auto", "split"])
def test_its_filters_are_shown(code):
    model = make(code=code).fit(X)
    display = FilterDisplay.from_estimator(model)
    W = model.encoder_.components_ @ model.whitening_
    assert_allclose(display.weights, W)
    assert display.image_shape == (3, 3, 3)


@pytest.mark.parametrize("whiten", [True, False])
def test_centres_are_shown_as_what_patches_are_multiplied_with(whiten):
    model = make(DISTANCES, whiten=whiten).fit(X)
    P = model.whitening_ if whiten else np.eye(27)
    display = FilterDisplay.from_estimator(model)
    assert_allclose(display.weights, model.encoder_.cluster_centers_ @ P)


@pytest.mark.parametrize(
    ("encoder", "pooling", "code"),
    [(StackedCAE((6, 4), **HOW), p, "auto") for p in ("mean", "sum", "max")]
    + [(StackedCAE((6, 4), **HOW), "sum", c) for c in ("rectified", "split")]
    + [(DISTANCES, "sum", "auto")],
)
def test_pooled_codes_as_a_graph(encoder, pooling, code):
    model = make(encoder, pooling=pooling, code=code, stride=2).fit(X)
    graph = to_onnx(model, X[:1]).SerializeToString()
    (codes,) = InferenceSession(graph).run(None, {"X": X})
    assert_allclose(codes, model.transform(X), rtol=1e-9, atol=1e-9)


def test_a_file_of_parts_that_do_not_fit_is_refused(tmp_path):
    model = make().fit(X)
    model.whitening_ = model.whitening_[1:]
    write_unchecked(model, tmp_path / "model.skops")
    with pytest.raises(ValueError, match="whitening_ must be a float32 or float64"):
        load(tmp_path / "model.skops")
    for name in ("code", "pooling"):
        model = make().fit(X)
        model._fitted_structure = {**model._fitted_structure, name: "another"}
        write_unchecked(model, tmp_path / "model.skops")
        with pytest.raises(ValueError, match=f"There is no {name}='another'"):
            load(tmp_path / "model.skops")


@pytest.mark.parametrize("ask", [reconstruction_losses, sample])
def test_it_decodes_nothing(ask):
    with pytest.raises(TypeError, match="A PatchEncoder has no decoder"):
        ask(make().fit(X), X)


def test_an_encoder_without_layers_is_not_inspected():
    with pytest.raises(TypeError, match="encoded by a PCA, which has no layers"):
        jacobian_norm(make(PCA(4)).fit(X), X)


def test_callbacks_look_on_at_the_encoder():
    seen = []

    class Watches:
        max_propagation_depth = None

        def setup(self, estimator, context):
            pass

        def on_fit_task_begin(self, estimator, context):
            seen.append((type(estimator).__name__, context.task_name))

        def on_fit_task_end(self, estimator, context):
            pass

        def teardown(self, estimator, context):
            pass

    make().set_callbacks(Watches()).fit(X)
    names = [name for name, _ in seen]
    assert names[0] == "PatchEncoder"
    assert names.count("ContractiveAutoencoder") >= 3


# ---- scikit-learn's checks ----------------------------------------------------------


# Checks whose rows, of a number of features that no square image has, are no images.
NO_IMAGES = dict.fromkeys(
    [
        "check_array_api_input",
        "check_array_api_mixed_inputs",
        "check_array_api_same_namespace",
        "check_dtype_object",
        "check_estimators_dtypes",
        "check_estimators_fit_returns_self",
        "check_estimators_overwrite_params",
        "check_fit2d_1sample",
        "check_fit_check_is_fitted",
        "check_fit_idempotent",
        "check_n_features_in",
        "check_readonly_memmap_input",
    ],
    "its rows are no images",
)


@parametrize_with_checks(
    [PatchEncoder(PCA(1), patch_size=1, regions=1, normalize=False)],
    expected_failed_checks=lambda estimator: NO_IMAGES,
    xfail_strict=True,
)
def test_check_estimator(estimator, check):
    check(estimator)


def test_constraints_cover_the_parameters():
    names = set(signature(PatchEncoder).parameters)
    assert set(PatchEncoder._parameter_constraints) == names


def test_an_encoder_that_several_processes_train_is_refused():
    X = np.random.default_rng(0).random((8, 36))
    for encoder, name in (
        (ContractiveAutoencoder(4, data_parallel=True), "data_parallel"),
        (
            make_pipeline(ContractiveAutoencoder(4, data_parallel=True)),
            "contractiveautoencoder__data_parallel",
        ),
    ):
        with pytest.raises(ValueError, match=f"{name}=True of its encoder"):
            PatchEncoder(encoder, patch_size=3).fit(X)


@pytest.mark.parametrize("code", ["auto", "rectified", "split"])
def test_other_weights_have_another_code_at_rest(code):
    """Of an encoder that is given them, as of one that was fitted with them."""
    one, other = (
        make(clone(CAE).set_params(random_state=seed), code=code, pooling="sum")
        for seed in (1, 2)
    )
    one.fit(X), other.fit(X)
    set_weights(one.encoder_, get_weights(other.encoder_))
    assert_allclose(one.transform(X), other.transform(X))


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_patches_to_learn_from_are_of_all_positions(stride):
    """Whatever the stride, which is that of encoding."""
    patches = make(stride=stride, n_patches=10**6, normalize=False, whiten=False)
    every = make(n_patches=10**6, normalize=False, whiten=False).fit(X)
    assert_allclose(patches.fit(X).patch_mean_, every.patch_mean_)


def test_a_frozen_k_means_has_layers_too():
    """As the one that it is."""
    first = make(DISTANCES).fit(X)
    again = make(FrozenEstimator(first.encoder_)).fit(X)
    assert_allclose(again.transform(X), first.transform(X))
    assert_allclose(jacobian_norm(again, X[:2]), jacobian_norm(first, X[:2]))


def test_a_clusterer_of_features_gives_no_distances():
    model = make(FeatureAgglomeration(3)).fit(X)
    same = make(FeatureAgglomeration(3), code="transform").fit(X)
    assert_allclose(model.transform(X), same.transform(X))


def test_patches_of_patches_have_no_filters():
    """What stands first is the whitening."""
    inner = PatchEncoder(CAE, patch_size=2, random_state=0)
    model = make(inner).fit(X)
    with pytest.raises(TypeError, match="no weights for each unit"):
        FilterDisplay.from_estimator(model)
