"""Docstrings say all that numpydoc asks, by the rules of scikit-learn's own tests."""

import inspect
import pkgutil
import runpy
from pathlib import Path

import pytest
from numpydoc.validate import validate

import skcae

EXTENSIONS = Path(__file__).parents[1] / "docs" / "_extensions"
PUBLIC = runpy.run_path(str(EXTENSIONS / "public_names.py"))["public_names"]()

# How the first line begins, and names of what is returned.
STYLE = {"GL01", "GL02", "RT02"}
# An extended summary, links and an example: for classes.
OF_CLASSES = {"ES01", "SA01", "EX01"}


def is_ours(value):
    value = value.fget if isinstance(value, property) else value
    module = getattr(inspect.unwrap(value), "__module__", None) or ""
    return module.partition(".")[0] == "skcae"


def described():
    """Name every public class, its public methods and properties, and functions."""
    for name in PUBLIC:
        public = pkgutil.resolve_name(name)
        if callable(public) and hasattr(public, "__qualname__"):
            yield name
        if isinstance(public, type):
            for member, value in inspect.getmembers(public):
                is_described = callable(value) or isinstance(value, property)
                if member[0] != "_" and is_described and is_ours(value):
                    yield f"{name}.{member}"


NAMES = list(described())


def test_the_docstrings_of_all_are_here():
    assert {"skcae.StackedCAE", "skcae.StackedCAE.score"} <= set(NAMES)
    assert {"skcae.onnx.to_onnx", "skcae.losses.Loss.value"} <= set(NAMES)
    assert len(NAMES) > 80


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_missing(name):
    of_class = isinstance(pkgutil.resolve_name(name), type)
    ignored = STYLE if of_class else STYLE | OF_CLASSES
    errors = [error for error in validate(name)["errors"] if error[0] not in ignored]
    assert errors == []


def trained():
    """Estimators that have a training of their own."""
    public = (getattr(skcae, name) for name in skcae.__all__)
    return [value for value in public if hasattr(value, "max_iter")]


@pytest.mark.parametrize("cls", trained())
def test_what_a_model_is_comes_before_how_it_is_trained(cls):
    names = list(inspect.signature(cls).parameters)
    first = {"n_components", "hidden_layer_sizes", "n_filters", "encoder"}
    assert names[0] in first
    assert names[-2:] == ["random_state", "verbose"]
    own = {"jacobian_penalty", "weight_decay", "corruption", "tangent_penalty"}
    own |= {"decoder", "kernel_size", "output"}
    assert names[1] in own
