"""A model's file before anything is built of it: how much it holds, and of what types.

It is a zip archive in skops' format: a description, schema.json, whose nodes name the
members that hold arrays.
"""

import json
from collections.abc import Iterator
from typing import Any, BinaryIO
from zipfile import ZIP_STORED, ZipFile, is_zipfile

import skcae

# What a file may unpack to: so many bytes, or so many times its size if that is more.
# It is archives among its members that unpack, as sparse matrices are stored.
UNPACKED_BYTES = 2**28
UNPACKED_TIMES = 16

# ---- types ----------------------------------------------------------------------

OURS = (
    *(
        f"{estimator.__module__}.{estimator.__name__}"
        for estimator in map(vars(skcae).get, skcae.__all__)
        if isinstance(estimator, type)
    ),
    "skcae.model_selection._search.ContractiveAutoencoderCV",
)
# What scikit-learn's estimators keep besides what skops trusts: plain Python objects
# without code of their own in C, which could be led astray by what is set on them.
KERNELS = (
    "CompoundKernel",
    "ConstantKernel",
    "DotProduct",
    "ExpSineSquared",
    "Exponentiation",
    "Matern",
    "Product",
    "RBF",
    "RationalQuadratic",
    "Sum",
    "WhiteKernel",
)
OBJECTS = (
    "sklearn._loss.loss.HalfTweedieLoss",
    "sklearn._loss.loss.HalfTweedieLossIdentity",
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.calibration._TemperatureScaling",
    "sklearn.compose._column_transformer.make_column_selector",
    "sklearn.gaussian_process._gpc._BinaryGaussianProcessClassifierLaplace",
    *(f"sklearn.gaussian_process.kernels.{name}" for name in KERNELS),
    "sklearn.multiclass._ConstantPredictor",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
    # What set_fit_request and its like leave on an estimator.
    "sklearn.utils._metadata_requests.MetadataRequest",
    "sklearn.utils._metadata_requests.MethodMetadataRequest",
)
FUNCTIONS = (
    "numpy.max",
    "numpy.mean",
    "numpy.median",
    "numpy.min",
    *(
        f"sklearn.feature_selection._univariate_selection.{name}"
        for name in ("chi2", "f_classif", "f_oneway", "f_regression", "r_regression")
    ),
    "sklearn.feature_selection._mutual_info.mutual_info_classif",
    "sklearn.feature_selection._mutual_info.mutual_info_regression",
)
# Types that are trusted besides those that skops trusts, each as a node of one kind
# alone, so that no file can call what it is only to name.
TRUSTED = {
    **dict.fromkeys((*OURS, *OBJECTS), "ObjectNode"),
    **dict.fromkeys(FUNCTIONS, "FunctionNode"),
    "builtins.object": "TypeNode",
    "numpy.number": "TypeNode",
    "numpy.dtype": "DTypeNode",
    "sklearn.utils._bunch.Bunch": "DictNode",
    # Their indices are checked when they are built.
    "scipy.sparse._csc.csc_array": "SparseMatrixNode",
    "scipy.sparse._csc.csc_matrix": "SparseMatrixNode",
    "scipy.sparse._csr.csr_array": "SparseMatrixNode",
    "scipy.sparse._csr.csr_matrix": "SparseMatrixNode",
    # It names a device and does nothing else.
    "torch.device": "ConstructorFromReduceNode",
}
# What skops itself reports, whatever is trusted.
ALWAYS_REPORTED = "MethodNode"


def check_archive(file: BinaryIO) -> None:
    """Refuse a file that is damaged, or is or does more than it seems.

    Raises
    ------
    ValueError
        If it is.
    """
    n_bytes = file.seek(0, 2)
    with ZipFile(file) as archive:
        members = archive.infolist()
        if any(member.compress_type != ZIP_STORED for member in members):
            raise ValueError("It is compressed, as save does not write it.")
        if sum(member.file_size for member in members) > n_bytes:
            raise ValueError("Its members are more than it is, and must overlap.")
        if archive.testzip() is not None:
            raise ValueError("Its checksums do not fit.")
        nodes = [*_nodes(json.loads(archive.read("schema.json")))]
        for node in nodes:
            _check_kind(node)
        _check_unpacked(archive, nodes, n_bytes)
    file.seek(0)


def _nodes(description: Any) -> Iterator[dict[str, Any]]:
    """Go through the nodes of a description."""
    waiting = [description]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            waiting += value.values()
            # A dictionary's key of this name has a node for its value.
            if isinstance(value.get("__loader__"), str):
                yield value
        elif isinstance(value, list):
            waiting += value


def _check_kind(node: dict[str, Any]) -> None:
    """Refuse a type of ours in a node that would do something else with it."""
    name, kind = f"{node['__module__']}.{node['__class__']}", node["__loader__"]
    if TRUSTED.get(name, kind) != kind and kind != ALWAYS_REPORTED:
        raise ValueError(f"It has {name} as a {kind}, as save does not write it.")


def _check_unpacked(
    archive: ZipFile, nodes: list[dict[str, Any]], n_bytes: int
) -> None:
    """Refuse a small file that asks for much memory."""
    # A member is read once for each object; those without a name are objects each.
    reads = {
        (node.get("__id__") or f"node {number}", node["file"])
        for number, node in enumerate(nodes)
        if isinstance(node.get("file"), str)
    }
    sizes = {
        name: _unpacked_size(archive, name) for name in {name for _, name in reads}
    }
    total = sum(sizes[name] for _, name in reads)
    allowed = max(UNPACKED_BYTES, UNPACKED_TIMES * n_bytes)
    if total > allowed:
        raise ValueError(
            f"It unpacks to {total} bytes, more than the {allowed} that are allowed "
            f"for its {n_bytes}. If you know where it comes from, read it by "
            "skops.io.load."
        )


def _unpacked_size(archive: ZipFile, name: str) -> int:
    """Return the size of a member, of an archive that of its members."""
    size = archive.getinfo(name).file_size
    with archive.open(name) as member:
        if not is_zipfile(member):
            return size
        with ZipFile(member) as inner:
            return max(size, sum(part.file_size for part in inner.infolist()))
