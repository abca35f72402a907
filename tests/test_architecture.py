"""The structure: arrows between files, public names, and what importing costs."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import skcae

PACKAGE = Path(skcae.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))

# Lower floors know nothing of higher ones. A file may import from its own floor and
# from those below.
FLOORS = [
    [
        "skcae._disk",
        "skcae._parts",
        "skcae._archive",
        "skcae._core",
        "skcae._core.arrays",
        "skcae._core.threads",
    ],
    ["skcae._core.moments", "skcae._core.streams", "skcae._fingerprint"],
    [
        "skcae._core.change",
        "skcae._core.jacobian",
        "skcae._core.layers",
        "skcae._core.passes",
    ],
    ["skcae._core.batch", "skcae._core.gradient"],
    ["skcae._core.objective", "skcae._core.parallel", "skcae._core.solvers"],
    [
        "skcae._core.composition",
        "skcae._core.diagnosis",
        "skcae._core.spectrum",
    ],
    ["skcae._core.reconstruction", "skcae._core.network"],
    ["skcae._core.tangents"],
    ["skcae._core.training"],
    ["skcae.activations", "skcae.corruptions", "skcae.losses", "skcae.penalties"],
    ["skcae.exceptions"],
    [
        "skcae._containers",
        "skcae._documentation",
        "skcae._extras",
        "skcae._parameters",
        "skcae._progress",
        "skcae.progress",
    ],
    ["skcae._validation"],
    ["skcae._streams"],
    ["skcae._epochs", "skcae._parallel"],
    ["skcae._diagnosis"],
    ["skcae._state"],
    ["skcae._fitting"],
    ["skcae._base"],
    ["skcae._autoencoder", "skcae._contractive", "skcae._denoising"],
    ["skcae._stacking"],
    ["skcae._stacked"],
    ["skcae._encoders", "skcae._frames", "skcae._labels"],
    ["skcae._pretraining"],
    [
        "skcae._networks",
        "skcae._onnx_checks",
        "skcae._onnx_graph",
        "skcae._outputs",
    ],
    ["skcae._outcomes", "skcae._tangents"],
    ["skcae._plans"],
    ["skcae._tuning"],
    ["skcae._finetuned"],
    ["skcae._integrity"],
    ["skcae.persistence"],
    ["skcae.checkpoints"],
    ["skcae.onnx"],
    ["skcae.inspection"],
    ["skcae.datasets"],
    ["skcae"],
]
# What a floor may import from outside besides the standard library.
BELOW_THE_SHELL = {"numpy", "scipy", "torch"}
N_FLOORS_BELOW_THE_SHELL = 10


def module_name(path):
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def floor_of(module):
    """The floor of the longest prefix that has one."""
    while module:
        for height, names in enumerate(FLOORS):
            if module in names:
                return height
        module = module.rpartition(".")[0]
    raise AssertionError(f"{module} stands on no floor")


def imports(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"relative import in {path}"
            yield node.module


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_imports_point_down(path):
    module = module_name(path)
    for imported in imports(path):
        if imported.split(".")[0] == "skcae":
            assert floor_of(imported) <= floor_of(module), f"{module} → {imported}"


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_no_scikit_learn_below_the_shell(path):
    if floor_of(module_name(path)) >= N_FLOORS_BELOW_THE_SHELL:
        return
    outside = {
        name.split(".")[0]
        for name in imports(path)
        if name.split(".")[0] not in sys.stdlib_module_names
    }
    assert outside - {"skcae"} <= BELOW_THE_SHELL


def test_nobody_inside_imports_inspection():
    for path in FILES:
        if "inspection" not in path.parts:
            assert not any(
                name.startswith("skcae.inspection") for name in imports(path)
            )


def test_datasets_know_nothing_of_the_rest():
    """But how a file is written."""
    for path in (PACKAGE / "datasets").glob("*.py"):
        ours = {name for name in imports(path) if name.startswith("skcae")}
        assert all(name.startswith("skcae.datasets") for name in ours - {"skcae._disk"})


@pytest.mark.parametrize(
    "module",
    [
        "skcae",
        "skcae.activations",
        "skcae.checkpoints",
        "skcae.datasets",
        "skcae.exceptions",
        "skcae.inspection",
        "skcae.losses",
        "skcae.onnx",
        "skcae.penalties",
        "skcae.persistence",
        "skcae.progress",
    ],
)
def test_public_names_exist_and_are_documented(module):
    module = importlib.import_module(module)
    assert module.__doc__
    for name in module.__all__:
        value = getattr(module, name)
        if callable(value):
            assert "Examples\n" in value.__doc__, f"{name} has no example"


def test_every_public_method_is_documented():
    for name in skcae.__all__:
        value = getattr(skcae, name)
        if isinstance(value, type):
            methods = [
                method
                for method, function in vars(value).items()
                if not method.startswith("_") and callable(function)
            ]
            assert "fit" in dir(value)
            for method in {"fit", "score", *methods}:
                doc = getattr(value, method).__doc__
                assert "Parameters\n" in doc
                assert "Returns\n" in doc


def test_files_stay_small():
    for path in FILES:
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 450, path


def test_importing_loads_nothing_beyond_torch_and_scikit_learn():
    """New modules are ours, and what scikit-learn's callbacks bring with rich."""
    code = (
        "import sys, torch, sklearn; before = set(sys.modules); import skcae; "
        "print(*sorted({m.split('.')[0] for m in set(sys.modules) - before}))"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    loaded = set(out.stdout.split())
    allowed = {"skcae", "sklearn", "torch", "scipy", "rich", *sys.stdlib_module_names}
    assert "skcae" in loaded
    assert loaded <= allowed
