"""Table 2: deep networks on the regenerated variations of MNIST.

    python -m benchmarks.paper.table2 --local-file mnist.npz --data basic rot --hours 2

Searches on each set in the region that the search on MNIST found, see table1.py, runs
what is chosen and writes the report, by the protocol of README.md. What has been run is
not run again, and several processes may work at the same time.
"""

from benchmarks.paper import command, tables
from benchmarks.paper.models import SETS_OF_TABLE_2, SVM
from benchmarks.paper.protocol import ONE_LAYER
from benchmarks.paper.search import has_drawn_all

COMPARED = ("CAE-1", "CAE-2", SVM)
# The set whose search says where those of the others stay.
FOUND_ON = "mnist"


def main(arguments=None):
    """Run what is missing, and report what there is."""
    args = command.parsed(__doc__, SETS_OF_TABLE_2, arguments)

    def region_of(cell):
        """Return the cell of one layer in whose region this one stays, if any."""
        if cell.model not in ONE_LAYER:
            return None
        return command.cell_of(args, FOUND_ON, ONE_LAYER[cell.model])

    def can_begin(cell):
        """Tell whether that region is known: one that moves is none."""
        found = region_of(cell)
        if found is None or has_drawn_all(found):
            return True
        print(
            f"{cell.data} {cell.model} is left out: run table1.py on {FOUND_ON} for "
            f"{found.model} first."
        )
        return False

    cells = [cell for cell in command.cells_of(args) if can_begin(cell)]
    # What is compared comes first, on all sets.
    command.work(sorted(cells, key=lambda cell: cell.model not in COMPARED), region_of)
    tables.write_second(args)


if __name__ == "__main__":
    main()
