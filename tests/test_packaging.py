"""The wheel and the sdist, as somebody without a checkout gets them."""

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

SCRIPT = """
import numpy as np, skcae
from pathlib import Path
assert Path(skcae.__file__).is_relative_to({folder!r}), skcae.__file__
X = np.random.default_rng(0).random((40, 8))
codes = skcae.ContractiveAutoencoder(4, max_iter=20, tol=0.5).fit_transform(X)
print(skcae.__version__, codes.shape)
"""


def run(*command, **how):
    return subprocess.run(
        [sys.executable, *command], check=True, capture_output=True, text=True, **how
    )


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    run("-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT))
    return folder


def test_the_wheel_alone_imports_and_fits(built, tmp_path):
    (wheel,) = built.glob("*.whl")
    run("-m", "pip", "install", "--no-deps", "--target", str(tmp_path), str(wheel))
    script = SCRIPT.format(folder=str(tmp_path))
    # -P keeps the working directory, and so the checkout, out of the path.
    out = run("-P", "-c", script, cwd=tmp_path, env={"PYTHONPATH": str(tmp_path)})
    assert out.stdout.split(maxsplit=1)[1] == "(40, 4)\n"


def test_the_wheel_holds_the_package_and_nothing_else(built):
    (wheel,) = built.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert "skcae/py.typed" in names
    assert {name.split("/")[0].split("-")[0] for name in names} == {"skcae"}
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_the_sdist_holds_the_tests_too(built):
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    for name in ("pyproject.toml", "README.md", "LICENSE", "skcae/__init__.py"):
        assert name in names
    assert "tests/oracles.py" in names
    assert "benchmarks/linear_svm.py" in names
    assert not any(name.startswith((".venv", ".git/", "results")) for name in names)
