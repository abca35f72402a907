"""How fast patches are encoded, beside torch's convolution of the same shapes.

``python -m benchmarks.images.extraction``: on one thread, in one process, in turn. The
convolution does no more than multiply; the encoder also takes the contrast out of each
patch, has its activation, and pools.
"""

import argparse
import time
from pathlib import Path

import torch
from torch.nn import functional

from benchmarks.images.cifar10 import RESULTS
from benchmarks.speed.measure import in_turn, machine, table
from skcae._core.layers.chain import Chain
from skcae._core.layers.dense import Dense
from skcae._core.layers.patches import Patches
from skcae._core.layers.regions import PatchCodes, PooledPatches
from skcae.activations import ACTIVATIONS

# A turn takes so many numbers of codes, so that both are measured for equally long.
NUMBERS = 2**22


def functions(n_units, side, activation):
    """Make both of images of this size, and say how many they take at a time."""
    generator = torch.Generator().manual_seed(0)
    W = torch.randn(n_units, 108, generator=generator) / 10
    b = torch.randn(n_units, generator=generator)
    patches = Patches((side, side, 3), (6, 6), (1, 1), True)
    pool = PooledPatches(patches, (2, 2), "mean", torch.zeros(n_units))
    layer = PatchCodes(pool, Chain((Dense(W, b, ACTIVATIONS[activation]),)))
    n = max(1, NUMBERS // (pool.n_positions * n_units))
    X = torch.rand(n, 3 * side**2, generator=generator)
    images = X.view(n, side, side, 3).permute(0, 3, 1, 2)
    filters = layer.filters.permute(0, 3, 1, 2)
    return n, {
        "convolution": lambda: functional.conv2d(images, filters, b),
        "encoder": lambda: layer.outputs(X),
    }


@torch.no_grad()
def main():
    """Print the milliseconds of each for an image, and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--units", type=int, nargs="+", default=[100, 400, 1600])
    parser.add_argument("--sides", type=int, nargs="+", default=[32])
    parser.add_argument("--activations", nargs="+", default=["sigmoid", "relu"])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for side in args.sides:
        for activation in args.activations:
            for n_units in args.units:
                n, both = functions(n_units, side, activation)
                took = in_turn(both, rounds=args.rounds, clock=time.process_time)
                ms = {name: 1e3 * seconds / n for name, seconds in took.items()}
                rate = ms["convolution"] / ms["encoder"]
                numbers = [f"{value:.2f}" for value in (*ms.values(), rate)]
                rows.append([f"{side} × {side}", activation, n_units, *numbers])
    header = ["images", "activation", "units", "convolution", "encoder", "rate"]
    page = (
        f"# Extraction\n\n{machine()}. Milliseconds for an image of three channels, "
        "patches of 6 × 6, float32; processor time of one thread, in turn, median of "
        f"{args.rounds} rounds. The rate is that of the convolution.\n\n"
        f"{table(header, rows)}\n"
    )
    print(page)
    (args.results / "extraction.md").write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
