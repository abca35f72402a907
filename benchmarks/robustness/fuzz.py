"""What comes of many generated cases: the property tests at length, counted.

    python -m benchmarks.robustness.fuzz

The tests are those of tests/test_properties.py, which `make test` runs on a few cases.
A case is generated data and a model, or several calls of one; a call that gives neither
finite numbers nor an error that is known ends the run with the smallest such case.
"""

import argparse
import time
from collections import Counter
from pathlib import Path

import hypothesis

from benchmarks.speed.measure import commit, machine, table
from tests import conftest, test_properties
from tests.fuzzing import OUTCOMES

REPORT = Path(__file__).parents[1] / "results" / "robustness" / "fuzz.md"


def property_tests():
    """Return the tests that take generated cases, by name."""
    return {
        name: test
        for name, test in vars(test_properties).items()
        if hypothesis.is_hypothesis_test(test)
    }


def run(test, n_cases, seed):
    """Run a test on so many cases, and return how many there were."""
    counted = Counter()
    inner = test.hypothesis.inner_test

    def counting(*args, **how):
        counted["cases"] += 1
        return inner(*args, **how)

    test.hypothesis.inner_test = counting
    settings = hypothesis.settings(conftest.long, max_examples=n_cases)
    hypothesis.seed(seed)(settings(test))()
    return counted["cases"]


def calls_table():
    """Count the outcomes of each estimator's calls."""
    rows = []
    for name in sorted({name for name, _ in OUTCOMES}):
        of_call = Counter(
            {kind: n for (call, kind), n in OUTCOMES.items() if call == name}
        )
        finite, huge = (
            of_call.pop("finite", 0),
            of_call.pop("overflow of huge numbers", 0),
        )
        errors = of_call.total()
        rows.append([f"`{name}`", finite + huge + errors, finite, huge, errors])
    return table(["call", "times", "finite", "overflow of huge numbers", "error"], rows)


def errors_table():
    """Count the errors of each kind, of `fit` and `partial_fit` and of the rest."""
    kinds = {"fit": Counter(), "other": Counter()}
    for (call, kind), count in OUTCOMES.items():
        if "Error" in kind:
            kinds["fit" if call.endswith("fit") else "other"][kind] += count
    names = sorted(kinds["fit"] | kinds["other"])
    rows = [[name, kinds["fit"][name], kinds["other"][name]] for name in names]
    return table(["error", "in fitting", "in use"], rows)


def report(where, cases, seconds, arguments):
    """Write the page."""
    command = f"python -m benchmarks.robustness.fuzz --cases {arguments.cases}"
    rows = [
        [name.removeprefix("test_").replace("_", " "), n] for name, n in cases.items()
    ]
    text = "\n\n".join(
        [
            "# Generated cases",
            f"{where}, `{command}`.",
            f"{sum(cases.values())} cases and {OUTCOMES.total()} calls in "
            f"{seconds / 60:.0f} minutes on one thread. Every call gave finite "
            "numbers, an overflow where data or weights were beyond 1e9, or an error "
            "that tests/fuzzing.py knows by its words.",
            table(["property", "cases"], rows),
            calls_table(),
            errors_table(),
        ]
    )
    REPORT.write_text(text + "\n", encoding="utf-8")
    print(text)


def main():
    """Run every property, and write what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=4000, help="of each property")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    where, start = f"{machine()}. Commit {commit()}", time.monotonic()
    cases = {}
    for name, test in property_tests().items():
        cases[name] = run(test, arguments.cases, arguments.seed)
        print(f"{name}: {cases[name]} cases", flush=True)
    report(where, cases, time.monotonic() - start, arguments)


if __name__ == "__main__":
    main()
