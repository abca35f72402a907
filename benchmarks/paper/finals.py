"""The final runs of a cell: trained on all training rows, tested, predictions kept.

They alone read the test rows.
"""

import os

import numpy as np

from benchmarks.paper import runs
from benchmarks.paper.cells import text_of
from benchmarks.paper.models import SVM
from benchmarks.paper.protocol import WITH_NOISE
from benchmarks.paper.search import chosen_with_noise

# What is chosen before a final run, and may be another after a longer search.
CHOICE = ("setting", "n_epochs", "noise")


def finals(cell, choice):
    """Run the final runs that are missing, without noise and with it."""
    test(cell, cell.model, choice)
    if cell.budget.with_noise and cell.model != SVM:
        test(cell, cell.model + WITH_NOISE, chosen_with_noise(cell, choice))


def test(cell, line, choice):
    """Train as was chosen, once for each seed, and keep what is predicted."""
    records = cell.tests
    for seed in cell.budget.seeds(cell.model):
        key = {**cell.key, "model": line, "seed": seed}
        key["setting"] = text_of(choice.setting)
        key["n_epochs"] = "+".join(map(str, choice.n_epochs))
        key["noise"] = choice.noise
        if records.find(key):
            continue
        cell.check_time()
        measured = runs.timed(
            runs.tested, cell, choice.setting, choice.n_epochs, seed, choice.noise
        )
        predicted = kept(cell, line, seed, measured)
        records.add(
            {
                **key,
                "test_error": float(np.mean(predicted != cell.images.y_test)),
                "valid_error": choice.valid_error,
                "seconds": measured["seconds"],
                "commit": measured["commit"],
            }
        )


def kept(cell, line, seed, measured):
    """Keep what a final run predicts of the test rows, and return it."""
    truth = cell.images.y_test
    # A training that diverges gives no answer.
    predicted = measured.get("predicted", np.full(len(truth), 255))
    keep(predictions_file(cell, line), f"seed {seed}", predicted)
    keep(predictions_file(cell, "truth"), "truth", truth)
    return predicted


def predictions_file(cell, line):
    """Return the file with the predictions of a line of a table."""
    name = f"{cell.data}_{line.replace(' ', '_')}.npz"
    return cell.folder / "predictions" / name


def keep(path, name, labels):
    """Add labels to a file under a name, the whole file at once."""
    path.parent.mkdir(exist_ok=True)
    arrays = dict(np.load(path)) if path.exists() else {}
    if name in arrays and np.array_equal(arrays[name], labels):
        return
    part = path.with_suffix(f".{os.getpid()}.npz")
    np.savez_compressed(part, **{**arrays, name: labels.astype(np.uint8)})
    part.replace(path)


def tests_of(cell, line):
    """Return the rows of a line's final runs, with what was chosen last."""
    rows = cell.tests.all({**cell.key, "model": line})
    choice = {name: rows[-1][name] for name in CHOICE} if rows else {}
    return [row for row in rows if choice.items() <= row.items()]


def wrong(cell, line, rows):
    """Return which test rows the runs of a line answer wrongly, (runs, rows)."""
    truth = np.load(predictions_file(cell, "truth"))["truth"]
    predicted = np.load(predictions_file(cell, line))
    return np.array([predicted[f"seed {row['seed']}"] != truth for row in rows])
