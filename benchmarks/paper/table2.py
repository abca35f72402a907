"""Table 2: deep networks on the regenerated variations of MNIST.

    python -m benchmarks.paper.table2 --local-file mnist.npz --data basic rot --hours 2

Searches on each set in the region that the search on MNIST found, see table1.py, runs
what is chosen and writes the report, by the protocol of README.md. What has been run is
not run again, and several processes may work at the same time.
"""

from benchmarks.paper import command, tables
from benchmarks.paper.models import SETS_OF_TABLE_2
from benchmarks.paper.protocol import ONE_LAYER

# The set whose search says where those of the others stay.
FOUND_ON = "mnist"


def main(arguments=None):
    """Run what is missing, and report what there is."""
    args = command.parsed(__doc__, SETS_OF_TABLE_2, arguments)

    def region_of(cell):
        """Return the cell of one layer in whose region this one stays, if any."""
        if cell.model not in ONE_LAYER:
            return None
        found = command.cell_of(args, FOUND_ON, ONE_LAYER[cell.model])
        if not found.trials.all({"data": FOUND_ON, "model": found.model}):
            raise SystemExit(
                f"There are no trials of {found.model} on {FOUND_ON}: "
                "run table1.py first."
            )
        return found

    command.work(command.cells_of(args), region_of)
    tables.write_second(args)


if __name__ == "__main__":
    main()
