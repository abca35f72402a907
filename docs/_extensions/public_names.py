"""The reference has every public name, and only what skcae itself defines."""

import importlib
import logging
import pkgutil
from collections.abc import Container
from typing import Any

import skcae

# Its warnings are sphinx's, and end the build as theirs do.
LOGGER = logging.getLogger("sphinx.public_names")
SCIKIT_LEARN = "https://scikit-learn.org/stable/modules/generated"


def public_modules() -> list[str]:
    """List skcae and the modules in it whose names have no underscore in front."""
    inside = [module.name for module in pkgutil.iter_modules(skcae.__path__)]
    return ["skcae", *(f"skcae.{name}" for name in inside if name[0] != "_")]


def public_names() -> list[str]:
    """List what the modules export."""
    return [
        f"{module}.{name}"
        for module in public_modules()
        for name in importlib.import_module(module).__all__
    ]


def missing_names(described: Container[str]) -> list[str]:
    """List the public names that are not described."""
    return [name for name in public_names() if name not in described]


def check_all_are_there(app: Any, env: Any) -> None:
    """Warn of public names that have no entry."""
    for name in missing_names(env.get_domain("py").objects):
        LOGGER.warning(
            "The reference has no entry for %s. It shows the `__all__` of every module "
            "in docs/reference/index.md: is this one there?",
            name,
        )


def skip_what_is_scikit_learns(
    app: Any, kind: str, name: str, member: Any, skip: bool, options: Any
) -> bool | None:
    """Leave the methods that scikit-learn defines to its own reference."""
    module = getattr(member, "__module__", None) or ""
    return True if module.startswith("sklearn.") else None


def link_to_scikit_learn(app: Any, env: Any, node: Any, text: Any) -> Any:
    """Resolve sklearn.… to a page of its reference, without asking the network."""
    from docutils import nodes  # which those who only list the names need not have

    target = node.get("reftarget", "")
    if not target.startswith("sklearn."):
        return None
    return nodes.reference("", "", text, refuri=f"{SCIKIT_LEARN}/{target}.html")


def setup(app: Any) -> dict[str, bool]:
    """Follow the build."""
    app.connect("autodoc-skip-member", skip_what_is_scikit_learns)
    app.connect("missing-reference", link_to_scikit_learn)
    app.connect("env-check-consistency", check_all_are_there)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
