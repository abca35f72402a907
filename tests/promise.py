"""The public names and their parameters: ``python -m tests.promise`` writes them down.

That is done for each release. A test then sees when something that was promised goes.
"""

import inspect
import pkgutil
import runpy
from pathlib import Path

FILE = Path(__file__).with_name("promised_names.txt")
DOCS = Path(__file__).parents[1] / "docs"


def parameters_of(public):
    """List the parameters of what can be called, without `self` and the like."""
    is_exception = isinstance(public, type) and issubclass(public, Exception)
    if is_exception or not callable(public):
        return []
    kinds = inspect.signature(public).parameters.values()
    named = [p.name for p in kinds if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    return [name for name in named if name != "self"]


def methods_of(public):
    """List the methods that a class of ours has from us."""
    if not isinstance(public, type):
        return []
    return [
        name
        for name, member in inspect.getmembers(public, callable)
        if name[0] != "_"
        and (getattr(member, "__module__", None) or "").startswith("skcae")
    ]


def public_names():
    """Give each public name with its parameters, and each method."""
    listed = runpy.run_path(str(DOCS / "_extensions" / "public_names.py"))
    for name in sorted(listed["public_names"]()):
        public = pkgutil.resolve_name(name)
        yield name, parameters_of(public)
        for method in methods_of(public):
            yield f"{name}.{method}", parameters_of(getattr(public, method))


def promised_names():
    """Read the file: each name, and its parameters in the order of the alphabet."""
    for line in FILE.read_text(encoding="utf-8").splitlines():
        name, *parameters = line.split()
        yield name, parameters


if __name__ == "__main__":
    lines = [" ".join([name, *sorted(rest)]) for name, rest in public_names()]
    FILE.write_text("\n".join([*lines, ""]), encoding="utf-8")
