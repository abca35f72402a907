"""What a release needs: one version, a workflow that is pinned, names that stay."""

import re
import tomllib
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.datasets import load_digits

import skcae
from skcae import (
    ContractiveAutoencoder,
    FineTunedClassifier,
    FineTunedRegressor,
    StackedCAE,
)
from skcae.persistence import get_weights, set_weights
from tests.promise import promised_names, public_names

ROOT = Path(__file__).parents[1]


def text_of(*parts):
    return ROOT.joinpath(*parts).read_text(encoding="utf-8")


# ---- one version ------------------------------------------------------------------


def test_there_is_one_version():
    assert re.fullmatch(r"\d+\.\d+\.\d+", skcae.__version__)
    assert f"\nversion: {skcae.__version__}\n" in text_of("CITATION.cff")
    first = re.search(r"^## \[(.+?)\]", text_of("CHANGELOG.md"), re.MULTILINE)[1]
    assert first in ("Unreleased", skcae.__version__)


# ---- the workflow -----------------------------------------------------------------


@pytest.fixture
def workflow():
    return pytest.importorskip("yaml").safe_load(text_of(".github/workflows/ci.yml"))


def test_actions_are_pinned_to_commits():
    uses = re.findall(r"uses: (.+)", text_of(".github/workflows/ci.yml"))
    assert len(uses) >= 10
    for action in uses:
        assert re.fullmatch(r"[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action)


def test_three_systems_and_the_pythons_that_the_package_names(workflow):
    matrix = workflow["jobs"]["test"]["strategy"]["matrix"]
    assert {os.split("-")[0] for os in matrix["os"]} == {"ubuntu", "macos", "windows"}
    classifiers = tomllib.loads(text_of("pyproject.toml"))["project"]["classifiers"]
    named = [line.split(" :: ")[-1] for line in classifiers if ":: 3." in line]
    assert matrix["python"] == named


def test_only_a_tag_publishes_and_only_after_all_else(workflow):
    publish = workflow["jobs"].pop("publish")
    assert publish["if"] == "startsWith(github.ref, 'refs/tags/v')"
    assert sorted(publish["needs"]) == sorted(workflow["jobs"])
    assert publish["permissions"] == {"id-token": "write"}
    assert workflow["permissions"] == {"contents": "read"}
    assert not any("permissions" in job for job in workflow["jobs"].values())
    assert "password" not in text_of(".github/workflows/ci.yml")


def test_the_forms_are_forms():
    yaml = pytest.importorskip("yaml")
    for form in sorted(ROOT.glob(".github/ISSUE_TEMPLATE/[!c]*.yml")):
        fields = yaml.safe_load(form.read_text(encoding="utf-8"))
        assert {"name", "description", "body"} <= set(fields)
        ids = [field["id"] for field in fields["body"]]
        assert len(ids) == len(set(ids)) >= 3


# ---- names ------------------------------------------------------------------------


def test_promised_names_are_there():
    """A name that goes must have warned first: see docs/compatibility.md."""
    promised, public = list(promised_names()), dict(public_names())
    assert len(promised) > 80
    for name, parameters in promised:
        assert name in public
        assert set(parameters) <= set(public[name]), name


def test_the_names_of_weights_stay():
    """The arrays of files that were written with 0.2.0."""
    X = load_digits().data[:40] / 16
    y = np.arange(40) % 3
    short = {"max_iter": 12, "tol": 0.5, "random_state": 0}
    layer = ["components_", "intercept_hidden_", "intercept_visible_"]
    cae = ContractiveAutoencoder(3, bias_spread=0, **short)
    classifier = FineTunedClassifier(cae, **short).fit(X, y)
    regressor = FineTunedRegressor(cae, **short).fit(X, y)
    stack = StackedCAE((3, 2), bias_spread=0, **short).fit(X)
    assert sorted(get_weights(cae.fit(X))) == layer
    assert sorted(get_weights(stack)) == [
        f"{k}.{name}" for k in (0, 1) for name in layer
    ]
    for network in (classifier, regressor):
        names = [f"{k}.{name}" for k in (0, 1) for name in ("coefs_", "intercepts_")]
        assert sorted(get_weights(network)) == names


def test_weights_of_a_file_of_0_2_0_give_their_codes():
    rng = np.random.default_rng(0)
    weights = {
        "components_": rng.normal(size=(3, 5)),
        "intercept_hidden_": rng.normal(size=3),
        "intercept_visible_": rng.normal(size=5),
    }
    X = rng.normal(size=(4, 5))
    codes = set_weights(ContractiveAutoencoder(3), weights).transform(X)
    a = X @ weights["components_"].T + weights["intercept_hidden_"]
    assert_allclose(codes, 1 / (1 + np.exp(-a)))
