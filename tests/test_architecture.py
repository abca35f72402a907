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

# A room may import from itself and from those above it in this list; nothing imports
# what has no place in it. "skcae" are the public estimators.
ROOMS = [
    "skcae._core.extras",
    "skcae._core.data",
    "skcae.activations",
    "skcae.losses",
    "skcae.penalties",
    "skcae.corruptions",
    "skcae.exceptions",
    "skcae._core.layers",
    "skcae._core.modules",
    "skcae._core.training",
    "skcae._core.steps",
    "skcae.progress",
    "skcae._encoders",
    "skcae._fit",
    "skcae._estimators",
    "skcae",
    "skcae.model_selection",
    "skcae.persistence",
    "skcae.functional",
    "skcae.checkpoints",
    "skcae.onnx",
    "skcae.perturbations",
    "skcae.inspection",
    "skcae.datasets",
]
# Plain torch: what these may import from outside besides the standard library.
BELOW_THE_SHELL = {"numpy", "scipy", "torch"}
LAST_BELOW_THE_SHELL = ROOMS.index("skcae._core.steps")


def module_name(path):
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room_of(module):
    """The position of the room that a module is in."""
    if module == "skcae._core":
        return 0
    named = [room for room in ROOMS if f"{module}.".startswith(f"{room}.")]
    room = max(named, key=len)
    has_none = room == "skcae" != module
    return len(ROOMS) if has_none else ROOMS.index(room)


def imports(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"relative import in {path}"
            yield node.module


def test_arrows_between_rooms_point_one_way():
    wrong = {
        (module_name(path), imported)
        for path in FILES
        for imported in imports(path)
        if imported.split(".")[0] == "skcae"
        and room_of(imported) > room_of(module_name(path))
    }
    assert wrong == set()


def test_no_scikit_learn_below_the_shell():
    outside = {
        name.split(".")[0]
        for path in FILES
        if room_of(module_name(path)) <= LAST_BELOW_THE_SHELL
        for name in imports(path)
    }
    known = {"skcae", *BELOW_THE_SHELL, *sys.stdlib_module_names}
    assert outside - known == set()


def test_no_scikit_learn_for_torch_users():
    """What `skcae.functional` needs of fitted models it asks `skcae.persistence`."""
    outside = {
        name.split(".")[0]
        for path in (PACKAGE / "functional").glob("*.py")
        for name in imports(path)
    }
    assert outside - sys.stdlib_module_names <= {"skcae", "torch", "numpy"}


def test_nobody_inside_imports_inspection():
    for path in FILES:
        if "inspection" not in path.parts:
            assert not any(
                name.startswith("skcae.inspection") for name in imports(path)
            )


def test_files_and_graphs_ask_an_estimator_and_not_its_type():
    """Or one more estimator would be one more case in each of them."""
    for path in FILES:
        room = ROOMS[room_of(module_name(path))]
        if room in ("skcae.persistence", "skcae.checkpoints", "skcae.onnx"):
            assert not any(name.startswith("skcae._est") for name in imports(path))


def test_datasets_know_nothing_of_the_rest():
    """But how a file is written, and what to say of a package that is missing."""
    for path in (PACKAGE / "datasets").glob("*.py"):
        ours = {name for name in imports(path) if name.startswith("skcae")}
        assert all(
            name.startswith("skcae.datasets")
            for name in ours - {"skcae._core.data.disk", "skcae._core.extras"}
        )


@pytest.mark.parametrize(
    "module",
    [
        "skcae",
        "skcae.activations",
        "skcae.checkpoints",
        "skcae.datasets",
        "skcae.exceptions",
        "skcae.functional",
        "skcae.inspection",
        "skcae.losses",
        "skcae.model_selection",
        "skcae.onnx",
        "skcae.penalties",
        "skcae.persistence",
        "skcae.perturbations",
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
            inherited = {"fit", "score"} & set(dir(value))
            for method in {*inherited, *methods}:
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
