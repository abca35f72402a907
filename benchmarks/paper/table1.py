"""Table 1: each one-layer model, fine-tuned, with its Jacobian and its saturation.

    python -m benchmarks.paper.table1 --quick --data digits
    python -m benchmarks.paper.table1 --local-file mnist.npz --hours 2
    python -m benchmarks.paper.table1 --data cifar-bw --local-file cifar-10.tar.gz

Searches, runs what is chosen and writes the report, by the protocol of README.md. What
has been run is not run again, and several processes may work at the same time.
"""

from benchmarks.paper import command, tables

DATA = ["mnist", "cifar-bw", "digits"]


def main(arguments=None):
    """Run what is missing, and report what there is."""
    args = command.parsed(__doc__, DATA, arguments)
    command.work(command.cells_of(args))
    for data in args.data:
        tables.write_first(args, data)


if __name__ == "__main__":
    main()
