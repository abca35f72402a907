"""How the code is laid out: the way of the data through a fit, rooms, lines, comments.

    python -m benchmarks.structure
    python -m benchmarks.structure --before ../before

A tree is measured by a process of its own, which imports skcae from there.

The way is what a profiler sees of our functions from `fit` to the first update of a
solver, both of them included. A lambda is a function, a comprehension is a part of the
one around it. A room is a folder of skcae/ or a file at its root, and there is an arrow
where something in one room imports something of another. Lines of code are those with
something else than comments and docstrings. Remarks to linters are no comments.
"""

import argparse
import ast
import io
import json
import os
import subprocess
import sys
import tokenize
import warnings
from pathlib import Path

import numpy as np
from sklearn.frozen import FrozenEstimator

import skcae
from benchmarks.speed.measure import table

HERE = Path(__file__).parents[1]
LONG = 400
REMARKS = ("# noqa", "# type:", "# pragma", "# fmt:")
COMPREHENSIONS = {"<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>"}
NO_CODE = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
}


# ---- what is written ------------------------------------------------------------


def docstring_lines(module):
    """Return the numbers of the lines with docstrings."""
    lines = set()
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(module):
        if isinstance(node, kinds) and ast.get_docstring(node, clean=False) is not None:
            lines |= lines_of(node.body[0].lineno, node.body[0].end_lineno)
    return lines


def lines_of(first, last):
    """Return the numbers from one line to another."""
    return set(range(first, last + 1))


def count_lines(source):
    """Return how many lines have code, and how many have a comment."""
    code, comments = set(), set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT and not token.string.startswith(REMARKS):
            comments.add(token.start[0])
        if token.type not in NO_CODE:
            code |= lines_of(token.start[0], token.end[0])
    return len(code - docstring_lines(ast.parse(source))), len(comments)


def count_importing(source):
    """Return how many lines of code are imports, of which more files have more."""
    return sum(
        node.end_lineno - node.lineno + 1
        for node in ast.walk(ast.parse(source))
        if isinstance(node, (ast.Import, ast.ImportFrom))
    )


def room_of(path, package):
    """Return the folder of a file, or the file itself if it is at the root."""
    folder = path.parent.relative_to(package)
    return path.stem if folder == Path() else folder.as_posix()


def imported_files(path, package):
    """Go through the files of the package that a file imports."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            if name.split(".")[0] == package.name:
                yield file_of(package.parent.joinpath(*name.split(".")))


def file_of(place):
    """Return the file of a module, a package, or of the module that has the name."""
    if place.with_suffix(".py").is_file():
        return place.with_suffix(".py")
    if place.is_dir():
        return place / "__init__.py"
    return file_of(place.parent)


def written(package):
    """Measure the files of a package."""
    files = sorted(package.rglob("*.py"))
    sources = {path: path.read_text(encoding="utf-8") for path in files}
    counts = {path: count_lines(source) for path, source in sources.items()}
    core = [counts[path] for path in files if package / "_core" in path.parents]
    n_code, in_all = totals(counts.values())
    n_core, in_core = totals(core)
    rooms = {path: room_of(path, package) for path in files}
    arrows = {
        (rooms[path], rooms[imported])
        for path in files
        for imported in imported_files(path, package)
        if rooms[path] != rooms[imported]
    }
    return {
        "entries at the root, .py files and folders": len(
            {path.relative_to(package).parts[0] for path in files}
        ),
        "files": len(files),
        f"files of more than {LONG} lines": sum(
            len(source.splitlines()) > LONG for source in sources.values()
        ),
        "lines of code": n_code,
        "those that import": sum(map(count_importing, sources.values())),
        "those of the core": n_core,
        "comments per 100 lines of code": in_all,
        "those of the core per 100 of its lines": in_core,
        "rooms": len(set(rooms.values())),
        "arrows between rooms": len(arrows),
    }


def totals(counts):
    """Return the lines of code of all files, and the comments per 100 of them."""
    n_code, n_comments = np.sum([(0, 0), *counts], axis=0).tolist()
    return n_code, f"{100 * n_comments / max(1, n_code):.1f}"


# ---- what is run ----------------------------------------------------------------


def way(fit, package):
    """Return the functions of the package from a fit to the first update, as code."""
    seen, arrived = [], False

    def watch(frame, event, _):
        nonlocal arrived
        code = frame.f_code
        ours = Path(code.co_filename).is_relative_to(package)
        if arrived or event != "call" or not ours or code.co_name in COMPREHENSIONS:
            return
        if code not in seen:
            seen.append(code)
        arrived = code.co_qualname in ("Adam.update", "Sgd.update")

    sys.setprofile(watch)
    try:
        fit()
    finally:
        sys.setprofile(None)
    if not arrived:
        raise SystemExit("No solver has made an update.")
    return seen


def ways(package):
    """Measure the ways of three estimators' fits."""
    X, y = np.random.default_rng(0).random((20, 4)), np.arange(20) % 2
    how = {"max_iter": 2, "random_state": 0}
    encoder = skcae.ContractiveAutoencoder(3, **how)
    network = skcae.FineTunedClassifier(FrozenEstimator(encoder), **how)
    stack = skcae.StackedCAE((3, 2), **how)
    # In this order: the network needs the encoder fitted.
    fits = {
        "ContractiveAutoencoder": lambda: encoder.fit(X),
        "FineTunedClassifier(FrozenEstimator(…))": lambda: network.fit(X, y),
        "StackedCAE": lambda: stack.fit(X),
    }
    found = {}
    for name, fit in fits.items():
        codes = way(fit, package)
        n_files = len({code.co_filename for code in codes})
        found[f"{name}: functions / files to the first update"] = (
            f"{len(codes)} / {n_files}"
        )
    return found


def families():
    """Count the classes of ours that each estimator is made of."""
    kinds = {name: getattr(skcae, name) for name in skcae.__all__}
    return {
        f"{name}: own classes": sum(
            ancestor.__module__.startswith("skcae.") for ancestor in kind.__mro__
        )
        for name, kind in kinds.items()
        if hasattr(kind, "fit")
    }


# ---- trees ----------------------------------------------------------------------


def measured(tree):
    """Measure a tree in a process that imports from there."""
    out = subprocess.run(
        [sys.executable, __file__, "--one", tree],
        env={**os.environ, "PYTHONPATH": f"{tree}{os.pathsep}{HERE}"},
        capture_output=True,
        text=True,
    )
    if out.returncode:
        raise SystemExit(out.stderr)
    return json.loads(out.stdout)


def main():
    """Print what was measured, of one tree or of two."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tree", type=Path, default=HERE, help="what to measure")
    parser.add_argument("--before", type=Path, help="what to compare it with")
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        warnings.simplefilter("ignore")
        package = Path(skcae.__file__).parent
        if package != args.one / "skcae":
            raise SystemExit(f"{args.one} has no package skcae.")
        print(json.dumps({**ways(package), **families(), **written(package)}))
        return
    trees = {"now": args.tree}
    if args.before:
        trees = {"before": args.before, **trees}
    columns = {name: measured(tree.resolve()) for name, tree in trees.items()}
    rows = list(dict.fromkeys(row for column in columns.values() for row in column))
    lines = [[row, *(c.get(row, "–") for c in columns.values())] for row in rows]
    print(table(["", *columns], lines))


if __name__ == "__main__":
    main()
