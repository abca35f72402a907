"""Finished runs, a row of a CSV file each: written as they end, and not run again."""

import csv


class Records:
    """The rows of a file, each found by what it is of.

    Parameters
    ----------
    path : Path
        The file, which is made with the first row.
    """

    def __init__(self, path):
        self.path = path
        self.rows = []
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        # A row that was cut off was not finished.
        whole, _, cut = text.rpartition("\n")
        if cut:
            path.write_text(whole + "\n" if whole else "", encoding="utf-8")
        self.rows = list(csv.DictReader(whole.splitlines()))

    def find(self, key):
        """Return the row of this key, or None."""
        return next(iter(self.all(key)), None)

    def all(self, key):
        """Return all rows of this key."""
        wanted = {name: str(value) for name, value in key.items()}
        return [row for row in self.rows if wanted.items() <= row.items()]

    def add(self, row):
        """Write a row at once."""
        with self.path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(row), lineterminator="\n")
            if not file.tell():
                writer.writeheader()
            writer.writerow(row)
        self.rows.append({name: str(value) for name, value in row.items()})
        print(", ".join(f"{name} {value}" for name, value in row.items()), flush=True)
