"""Finished runs, a row of a CSV file each: written as they end, and not run again."""

import csv
from pathlib import Path

from filelock import FileLock


class Records:
    """The rows of a file, each found by what it is of.

    Parameters
    ----------
    path : Path
        The file, which is made with the first row.
    """

    def __init__(self, path):
        self.path = Path(path)
        with self._lock():
            text = self._whole_rows()
        self.rows = list(csv.DictReader(text.splitlines()))

    def _lock(self):
        """Keep other processes from the file."""
        folder = self.path.parent / ".cache"
        folder.mkdir(parents=True, exist_ok=True)
        return FileLock(folder / f"{self.path.name}.lock")

    def _whole_rows(self):
        """Return the file's text without a row that was cut off: it is run again."""
        text = self.path.read_text(encoding="utf-8") if self.path.exists() else ""
        whole, end, cut = text.rpartition("\n")
        if cut:
            self.path.write_text(whole + end, encoding="utf-8")
        return whole

    def find(self, key):
        """Return the row of this key, or None."""
        return next(iter(self.all(key)), None)

    def all(self, key):
        """Return all rows of this key."""
        wanted = {name: str(value) for name, value in key.items()}
        return [row for row in self.rows if wanted.items() <= row.items()]

    def add(self, row):
        """Write a row at once."""
        with self._lock():
            is_first = not self._whole_rows()
            with self.path.open("a", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, list(row), lineterminator="\n")
                if is_first:
                    writer.writeheader()
                writer.writerow(row)
        self.rows.append({name: str(value) for name, value in row.items()})
        print(", ".join(f"{name} {value}" for name, value in row.items()), flush=True)
