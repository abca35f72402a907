"""What a first compression costs: tiles of photographs, as they are and through JPEG.

    python -m benchmarks.images.first_compression

CIFAR-10 from JPEGs cannot say what its images lost. Photographs that packages bring
along, at half their size, have next to nothing of a compression left; their tiles of 32
pixels a side are told apart by the photograph that they come from, which is not what
they show. Strips of each photograph train and others test, in turn. k-means of whitened
patches, the triangle code, sums over quadrants, and a linear SVM with C = 100.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from threadpoolctl import threadpool_limits

from benchmarks.images.cifar10 import RESULTS
from benchmarks.images.jpeg import through_jpeg
from benchmarks.images.models import kmeans
from benchmarks.images.resolution import PHOTOGRAPHS, photograph
from benchmarks.images.svm import LinearSVM, standardise
from benchmarks.speed.measure import table
from skcae import PatchEncoder

SIDE, STRIDE, C = 32, 8, 100.0
# Of three strips, one above the other, one tests.
N_STRIPS = 3
# Of each photograph.
MOST_TRAIN, MOST_TEST = 150, 60


def half(path):
    """Return a photograph at half its size, of bytes."""
    whole = Image.fromarray(np.rint(255 * photograph(path)).astype(np.uint8))
    return np.asarray(
        whole.resize((whole.width // 2, whole.height // 2), Image.LANCZOS)
    )


def tiles(seed):
    """Return tiles that train and tiles that test, and whose they are."""
    random = np.random.default_rng(seed)
    parts = {True: ([], []), False: ([], [])}
    for which, path in enumerate(PHOTOGRAPHS):
        image = half(path)
        found = {True: [], False: []}
        for strip, top in enumerate(range(0, len(image) - SIDE + 1, SIDE)):
            tests = (strip + seed) % N_STRIPS == 0
            for left in range(0, image.shape[1] - SIDE + 1, STRIDE):
                found[tests].append(image[top : top + SIDE, left : left + SIDE])
        for tests, most in ((True, MOST_TEST), (False, MOST_TRAIN)):
            some = random.permutation(len(found[tests]))[:most]
            parts[tests][0].extend(found[tests][k] for k in some)
            parts[tests][1].extend([which] * len(some))
    return [(np.array(X), np.array(y)) for X, y in (parts[False], parts[True])]


def rows(images, quality):
    """Return images as rows of [0, 1], perhaps through JPEG."""
    if quality is not None:
        images = np.array([through_jpeg(image, quality) for image in images])
    return (images / np.float32(255)).reshape(len(images), -1)


def error(train, test, n_units, seed):
    """Return the test error in per cent."""
    encoder = PatchEncoder(
        kmeans(n_units, max_iter=0, random_state=seed),
        image_shape=(SIDE, SIDE, 3),
        pooling="sum",
        random_state=seed,
    )
    codes = encoder.fit(train[0]).transform(train[0]), encoder.transform(test[0])
    standardise(*codes)
    return 100 * LinearSVM(C).fit(codes[0], train[1]).error(codes[1], test[1])


def main():
    """Write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--units", type=int, nargs="+", default=[100, 400, 1600])
    parser.add_argument("--qualities", type=int, nargs="*", default=[90, 75, 50])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args()
    torch.set_num_threads(1)
    qualities = [None, *args.qualities]
    errors = np.empty((len(qualities), len(args.units), args.seeds))
    changes = np.zeros((len(qualities), args.seeds))
    with threadpool_limits(1):
        for seed in range(args.seeds):
            train, test = tiles(seed)
            for i, quality in enumerate(qualities):
                both = [(rows(X, quality), y) for X, y in (train, test)]
                change = both[1][0] - rows(test[0], None)
                changes[i, seed] = 255 * np.sqrt(np.square(change).mean())
                for j, n_units in enumerate(args.units):
                    errors[i, j, seed] = error(*both, n_units, seed)
                print(seed, quality, *errors[i, :, seed].round(1), flush=True)
    lines = [
        [quality or "as they are", f"{change:.1f}", *map(shown, found)]
        for quality, change, found in zip(
            qualities, changes.mean(1), errors, strict=True
        )
    ]
    header = ["JPEG, quality", "change, of 255", *(f"{n} units" for n in args.units)]
    text = (
        "# A first compression\n\n"
        f"{len(train[0])} tiles of {len(PHOTOGRAPHS)} photographs at half their size "
        f"train, and {len(test[0])} others test: from which photograph a tile is, the "
        f"error in %. Means of {args.seeds} seeds, of tiles and centres, and in "
        f"brackets each.\n\n{table(header, lines)}\n"
    )
    (args.results / "first_compression.md").write_text(text)


def shown(errors):
    """Write a mean, and what it is of."""
    return f"{errors.mean():.1f} ({', '.join(f'{e:.1f}' for e in errors)})"


if __name__ == "__main__":
    main()
