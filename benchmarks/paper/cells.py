"""A cell of a table: a model on a data set, and the files that keep its runs.

Cells share the files of their table. One process works on a cell at a time, so that
several can work on a table.
"""

import hashlib
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from filelock import FileLock, Timeout

from benchmarks.paper import data
from benchmarks.paper.protocol import PROTOCOL, Budget
from benchmarks.records import Records

FOLDER = Path(__file__).parents[1] / "results" / "paper"


class OutOfTimeError(Exception):
    """No run is started any more."""


@dataclass(frozen=True)
class Cell:
    """A model on a data set.

    Parameters
    ----------
    data, model : str
        See `data.load` and `protocol.MODELS`.
    local_file : str or None
        Where the data are.
    folder : Path
        Where the records are.
    budget : Budget
        That of the data set.
    sizes : tuple of int or None
        Of the first rows of each part, for a quick look.
    ends_at : float
        No run is started after this `time.time`.
    """

    data: str
    model: str
    local_file: str | None
    folder: Path
    budget: Budget
    sizes: tuple[int, int, int] | None = None
    ends_at: float = float("inf")

    @property
    def images(self):
        """Load the rows."""
        return data.load(self.data, self.local_file, self.sizes)

    @property
    def table(self):
        """Name the table that the cell is of."""
        is_first = self.data in ("mnist", "cifar-bw", "digits")
        return f"table1_{self.data}" if is_first else "table2"

    @property
    def trials(self):
        """Read the table's trials."""
        return self._records(f"{self.table}_trials.csv")

    @property
    def tests(self):
        """Read the table's final runs."""
        return self._records(f"{self.table}.csv")

    @property
    def variations(self):
        """Read what was tried beside the search."""
        return self._records(f"ablations_{self.data}.csv")

    @property
    def all_labels(self):
        """Read the runs of the manifold tangent classifier with all labels."""
        return self._records(f"all_labels_{self.data}.csv")

    def _records(self, name):
        self.folder.mkdir(parents=True, exist_ok=True)
        return Records(self.folder / name)

    @cached_property
    def key(self):
        """What all rows of the cell have in common."""
        return {
            "data": self.data,
            "model": self.model,
            "rows": data.checksum(self.data, self.local_file, self.sizes),
            "n_components": self.budget.n_components,
            "protocol": PROTOCOL,
        }

    def check_time(self):
        """Refuse to start a run when the time is up."""
        if time.time() > self.ends_at:
            raise OutOfTimeError

    @contextmanager
    def lock(self) -> Iterator[bool]:
        """Give True if no other process works on the cell, which then none does."""
        path = self.folder / ".cache" / f"{self.data} {self.model}.lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(path, timeout=0):
                yield True
        except Timeout:
            yield False


def text_of(setting):
    """Write a setting down, the same always."""
    return json.dumps(setting, sort_keys=True)


def name_of(key):
    """Name a file after all that it depends on."""
    return hashlib.sha256(text_of(key).encode()).hexdigest()[:16]
