"""One row a run, written as it ends; what is there is not run again."""

import csv
from pathlib import Path

KEYS = ("features", "set", "seed")
FIELDS = (*KEYS, "ridge", "svm", "fit_seconds", "epochs")


class Records:
    """The runs of a file.

    Parameters
    ----------
    path : Path
        A csv file, which is made if it is not there.
    """

    def __init__(self, path: Path):
        self.path = path
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(",".join(FIELDS) + "\n", encoding="utf-8")
        with path.open(encoding="utf-8", newline="") as file:
            # A row that was cut off is run again.
            self.rows = [row for row in csv.DictReader(file) if row["epochs"]]
        self.known = {tuple(row[key] for key in KEYS) for row in self.rows}

    def has(self, *key):
        """Tell whether a run is there."""
        return tuple(map(str, key)) in self.known

    def add(self, key, found):
        """Write a run down."""
        row = dict(zip(KEYS, map(str, key), strict=True)) | found
        with self.path.open("a", encoding="utf-8", newline="") as file:
            csv.DictWriter(file, FIELDS).writerow(row)
        self.rows.append(row)
        self.known.add(tuple(map(str, key)))
