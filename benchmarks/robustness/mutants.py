"""Which errors in the code the tests would notice: mutants, drawn at random.

    pip install cosmic-ray==8.7.0
    python -m benchmarks.robustness.mutants --mutants 100

A mutant is the code with one small change: an operator, a comparison or a number that
is another one, a loop without iterations, a decorator or a statement that is missing.
They are cosmic-ray's, but for those that compute nothing (annotations) or hardly ever
run (bits in place of arithmetic), and there are some more (`pass` in place of a
statement). Each is tried on the tests of its file, a few cases of each, up to the first
that fails and for about 20 seconds, in a fork of a process that has imported what the
code needs. Nothing on the disk changes. Each test that fails must pass on the code as
it is.
"""

import argparse
import importlib
import os
import random
import signal
import sys
import time
from collections import Counter, defaultdict
from importlib.machinery import SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path

os.environ.setdefault("SCIPY_ARRAY_API", "1")  # as tests/conftest.py has it

import parso
import pytest
import torch
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.binary_operator_replacement import BinaryOperators
from cosmic_ray.operators.operator import Operator
from cosmic_ray.plugins import get_operator, operator_names

from benchmarks.speed.measure import commit, machine, table

ROOT = Path(__file__).parents[2]
REPORT = ROOT / "benchmarks" / "results" / "robustness" / "mutants.md"

# What is mutated, and the tests that are to notice it.
LAYER = (
    "core/test_objective test_penalties core/test_trajectories core/test_loop "
    "estimators/test_autoencoders estimators/test_autoencoders_training "
    "promises/test_weights"
)
ENCODER = "inspection/test_spectrum inspection/test_measures inspection/test_walk"
NETWORK = (
    "core/test_supervised core/test_tangents test_tangents estimators/test_finetuned "
    "estimators/test_finetuned_weights estimators/test_finetuned_training"
)
FILES = "test_persistence test_checkpoints"
MODULES = (
    "test_functional test_functional_hessian test_functional_probes "
    "test_functional_refusals"
)
TESTS = {
    "_core/data/arrays": "core/test_arrays test_out_of_core",
    "_core/data/disk": f"test_disk {FILES}",
    "_core/data/evaluation": f"core/test_evaluation {ENCODER} test_out_of_core {LAYER}",
    "_fit/fingerprint": FILES,
    "_core/data/moments": "core/test_moments test_dead_models",
    "_core/data/rows": "core/test_rows test_out_of_core",
    "_core/data/streams": "core/test_streams test_out_of_core",
    "_core/data/threads": "core/test_threads",
    "_core/layers/chain": f"{NETWORK} {ENCODER}",
    "_core/layers/coder": LAYER,
    "_core/layers/dense": f"{LAYER} {NETWORK}",
    "_core/layers/gradient": f"core/test_solvers core/test_ranks {LAYER}",
    "_core/layers/spectrum": ENCODER,
    "_core/modules/closed_form": MODULES,
    "_core/modules/derivatives": MODULES,
    "_core/modules/independence": MODULES,
    "_core/modules/norms": MODULES,
    "_core/modules/parts": MODULES,
    "_core/steps/diagnosis": "core/test_diagnosis test_dead_models",
    "_core/steps/objective": f"test_penalties_sampled {LAYER}",
    "_core/steps/reconstruction": (
        f"core/test_reconstruction {LAYER} test_penalties_sampled test_data_parallel"
    ),
    "_core/steps/supervised": NETWORK,
    "_core/steps/tangents": NETWORK,
    "_core/steps/workspace": f"test_penalties_sampled {LAYER}",
    "_core/training/schedules": f"core/test_schedules {LAYER}",
    "_core/training/loop": f"{LAYER} test_faults test_checkpoints test_data_parallel",
    "_core/training/ranks": "core/test_ranks test_data_parallel",
    "_core/training/solvers": f"core/test_solvers {LAYER}",
    "_encoders/tangents": NETWORK,
    "_encoders/tensors": NETWORK,
    "_estimators/finetuned": NETWORK,
    "_fit/finetuning": NETWORK,
    "_fit/plans": NETWORK,
    "_fit/pretraining": NETWORK,
    "checkpoints": FILES,
    "functional/_bridge": "test_functional_bridge",
    "functional/_layers": "test_functional_bridge",
    "penalties": f"test_penalties_sampled test_hessian_noise {LAYER}",
    "persistence/_archive": f"test_archive {FILES}",
    "persistence/_files": FILES,
    "persistence/_integrity": FILES,
    "persistence/_parts": f"test_archive {FILES}",
}
# Without those that run other processes, which import the code as it is.
LEFT_OUT = "not kill and not two_processes and not memory_does_not_grow and not forked"

# The processor's time that a test may take, and after which no further one begins.
SECONDS = 20
ARITHMETIC = {"Add", "Sub", "Mul", "Div", "FloorDiv", "Mod", "Pow"}
STARRED = {"parameters", "lambdef", "dictorsetmaker"}
# They are to be told which variable.
NEED_NAMES = {"VariableReplacer", "VariableInserter"}
# What a look at survivors gave, by what the line became, or was where it is gone.
SEEN_SINCE, THE_SAME = "noticed since, by ", "computes the same: "
KNOWN = {
    "return bool((smallest >= low) & (largest < high))": SEEN_SINCE
    + "`test_the_largest_numbers_are_finite`",
    'name: torch.from_numpy(progress["kept"][name]).to(parameter, copy=False)': (
        SEEN_SINCE + "`test_a_training_that_is_taken_up_leaves_the_record_as_it_is`"
    ),
    "CHUNK_ELEMENTS = 2-21": SEEN_SINCE
    + "`test_a_thousand_small_images_are_one_chunk`",
    "return tangents / scale": "noticed by the other cases of "
    "`test_directions_beyond_the_rank_can_be_left_out`",
    "self._target = numbers(batch_size / n_features if corrupts else 0)": (
        "noticed by any `DenoisingAutoencoder`, as in `test_for_any_parameters`"
    ),
    "self.penalties, sums, factors, strict=False": THE_SAME + "they are equally long",
    "return sample_weight": THE_SAME + "without `class_weight` each class then has 1",
    "and type(held_out) == list": THE_SAME + "a class is equal to itself alone",
}


class RemoveStatement(Operator):
    """Replaces a simple statement by `pass`."""

    def mutation_positions(self, node):
        """Find statements other than imports, docstrings and declarations."""
        if node.type != "simple_stmt":
            return
        first = node.children[0]
        is_bare = first.type == "string" or first.type.startswith("import")
        is_declaration = (
            first.type == "expr_stmt"
            and first.children[1].type == "annassign"
            and len(first.children[1].children) < 4
        )
        if not is_bare and not is_declaration and node.get_code().strip() != "pass":
            yield first.start_pos, first.end_pos

    def mutate(self, node, index):
        """Keep what comes before it."""
        node.children = [parso.parse(node.get_first_leaf().prefix + "pass\n")]
        return node

    @classmethod
    def examples(cls):
        """Return none."""
        return ()


def operators():
    """Return the operators by name."""
    found = {"RemoveStatement": RemoveStatement()}
    for name in operator_names():
        short = name.partition("/")[2]
        if short.startswith("ReplaceBinaryOperator_"):
            both = set(short.split("_")[1:])
            if len(both & ARITHMETIC) == 1:
                continue
        if short not in NEED_NAMES:
            found[short] = get_operator(name)()
    assert set(BinaryOperators.__members__) > ARITHMETIC
    return found


def computes_nothing(node):
    """Tell whether a node is in an annotation, or a star in a list of names."""
    # cosmic-ray takes the stars of f(*, x) and {**x} for operators.
    if node.type == "operator" and node.parent.type in STARRED:
        return True
    while (parent := node.parent) is not None:
        if parent.type == "tfpdef" and node is parent.children[-1]:
            return True
        if parent.type == "annassign" and node is parent.children[1]:
            return True
        if parent.type == "funcdef" and node is parent.annotation:
            return True
        node = parent
    return False


def mutants_of(name, source):
    """Go through the mutants of a file: its name, an operator, and which of its."""
    nodes = list(ast_nodes(get_ast(source)))
    for short, operator in operators().items():
        number = 0
        for node in nodes:
            for _ in operator.mutation_positions(node):
                if not computes_nothing(node):
                    yield name, short, number
                number += 1


class Mutant(SourceFileLoader):
    """Loads the changed code in the place of the file's."""

    source = ""

    def get_code(self, fullname):
        """Compile it."""
        return compile(self.source, self.path, "exec")


class Finder:
    """Finds one module changed."""

    def __init__(self, name, source):
        self.path = ROOT / "skcae" / f"{name}.py"
        self.module = f"skcae.{name.replace('/', '.')}"
        self.source = source

    def find_spec(self, name, path=None, target=None):
        """Answer for that module only."""
        if name != self.module:
            return None
        loader = Mutant(name, str(self.path))
        loader.source = self.source
        return spec_from_file_location(name, self.path, loader=loader)


class Few:
    """A plugin of pytest: a few cases of each test, and little time for each and all.

    What fails is written to a pipe.
    """

    def __init__(self, n_cases, pipe):
        self.n_cases = n_cases
        self.pipe = pipe

    def pytest_collection_modifyitems(self, items):
        """Draw the cases, always the same."""
        of_test = defaultdict(list)
        for item in items:
            of_test[item.path, item.originalname].append(item)
        draw, n = random.Random(0).sample, self.n_cases
        items[:] = [
            item
            for cases in of_test.values()
            for item in (draw(cases, n) if len(cases) > n else cases)
        ]

    def pytest_runtest_logstart(self):
        """Set the clock, of the processor's time; when it rings the process ends."""
        if time.process_time() > SECONDS and self.n_cases < sys.maxsize:
            os._exit(0)
        signal.setitimer(signal.ITIMER_PROF, SECONDS)

    def pytest_runtest_logreport(self, report):
        """Note what fails; a test that has failed may fail to clean up, too."""
        if report.failed and report.when != "teardown":
            os.write(self.pipe, report.nodeid.encode())


def outcome(tests, finders=(), n_cases=3):
    """Run tests in a fork, and say what became of them, and which failed."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
        sys.meta_path[:0] = finders
        how = ["-x", "-q", "-p", "no:cacheprovider", "--assert=plain", "-k", LEFT_OUT]
        os._exit(int(pytest.main([*how, *tests], [Few(n_cases, write)])))
    os.close(write)
    failed = os.read(read, 10_000).decode()
    os.close(read)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    names = {0: "survived", 1: "a test failed", -signal.SIGPROF: "took too long"}
    return names.get(code, "did not run"), failed


def files_of(name):
    """Return the files of tests of a file of code, which must be there."""
    paths = [ROOT / "tests" / f"{test}.py" for test in TESTS[name].split()]
    return [str(path.resolve(strict=True)) for path in paths]


def warm_up():
    """Import what the code and its tests import, and forget the code."""
    torch.set_num_threads(1)
    for name in ("skcae.inspection", "skcae.onnx", "skcae.checkpoints", "skops.io"):
        importlib.import_module(name)
    for name in ("dask.array", "hypothesis", "pandas", "polars", "pyarrow.dataset"):
        importlib.import_module(name)
    for name in [name for name in sys.modules if name.partition(".")[0] == "skcae"]:
        del sys.modules[name]


def change(source, mutated):
    """Return the line that is another one, before and after."""
    pairs = zip(source.splitlines(), mutated.splitlines(), strict=False)
    number, (old, new) = next((k, p) for k, p in enumerate(pairs, 1) if p[0] != p[1])
    return number, old.strip(), new.strip()


def main(arguments=None):
    """Try the first mutants of a random order."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mutants", type=int, default=100, help="how many")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cases", type=int, default=3, help="of each test")
    parser.add_argument("--only", type=int, nargs="+", help="these, by their numbers")
    parser.add_argument("--report", type=Path, default=REPORT)
    args = parser.parse_args(arguments)
    sources = {
        name: (ROOT / "skcae" / f"{name}.py").read_text(encoding="utf-8")
        for name in TESTS
    }
    mutants = [m for name, source in sources.items() for m in mutants_of(name, source)]
    in_all = Counter(name for name, *_ in mutants)
    random.Random(args.seed).shuffle(mutants)
    warm_up()
    known, results, noticed = operators(), [], set()
    for number in args.only or range(min(args.mutants, len(mutants))):
        name, short, k = mutants[number]
        mutated = mutate_code(sources[name], known[short], k)
        found, test = outcome(files_of(name), [Finder(name, mutated)], args.cases)
        results.append((number, name, found, *change(sources[name], mutated)))
        print(*results[-1], test, sep=" | ", flush=True)
        noticed.add(test)
    found, test = outcome(sorted(noticed - {""}), n_cases=sys.maxsize)
    if found != "survived":
        raise SystemExit(f"{test} fails on the code as it is.")
    if not args.only:
        write(args, in_all, results)


def write(args, in_all, results):
    """Lay out the counts, and the survivors with what is known of them."""
    columns = ["a test failed", "did not run", "took too long", "survived"]
    counts = Counter((name, found) for _, name, found, *_ in results)
    rows = [
        [f"`{name}.py`", n, *(counts[name, column] for column in columns)]
        for name, n in in_all.items()
    ]
    sums = [sum(row[k] for row in rows) for k in range(1, len(columns) + 2)]
    survivors = [
        [
            f"`{name}.py`, {line}",
            f"`{old}`",
            f"`{new}`",
            KNOWN.get(old if new == "pass" else new, "?"),
        ]
        for _, name, found, line, old, new in results
        if found == "survived"
    ]
    command = f"--mutants {args.mutants} --cases {args.cases} --seed {args.seed}"
    n_noticed = len(results) - sums[-1]
    text = f"""# Mutants

{machine()}. Commit {commit()},
`python -m benchmarks.robustness.mutants {command}`.

{__doc__.partition("100")[2].strip()}

Of {sums[0]:,} mutants {len(results)} were drawn, and of these {n_noticed} were noticed.

{table(["file", "mutants", *columns], [*rows, ["all", *sums]])}

{table(["survivor", "the line", "what it became", "why"], survivors)}
"""
    args.report.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
