"""What another compression costs: images as they are, and once more through JPEG.

    python -m benchmarks.images.jpeg --data-file cifar-10-python.tar.gz

If the images are JPEGs already, what the first compression has cost cannot be
measured, but what a second one costs can: its blocks lie four pixels beside those of
the first. k-means of whitened patches, the triangle code, sums over quadrants, a linear
SVM whose C is chosen by the same held-out training images.
"""

import argparse
import io
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from threadpoolctl import threadpool_limits

from benchmarks.images.cifar10 import RESULTS, best_of_Cs
from benchmarks.images.models import kmeans
from benchmarks.images.svm import standardise
from benchmarks.speed.measure import table
from skcae import PatchEncoder
from skcae.datasets import load_cifar10

QUALITIES = (75, 50)
SHIFT = 4


def compressed(X, quality):
    """Return the images as JPEG of this quality gives them back."""
    if quality is None:
        return X
    found = []
    for image in np.rint(255 * X).astype(np.uint8).reshape(-1, 32, 32, 3):
        border = [(SHIFT, SHIFT), (SHIFT, SHIFT), (0, 0)]
        again = through_jpeg(np.pad(image, border, mode="reflect"), quality)
        found.append(again[SHIFT:-SHIFT, SHIFT:-SHIFT])
    return np.array(found, np.float32).reshape(len(X), -1) / 255


def through_jpeg(image, quality):
    """Return what is left of an image of bytes."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


def error(X, y, n_units):
    """Return the error in per cent of the last fifth of the images."""
    n = len(X) * 4 // 5
    encoder = PatchEncoder(
        kmeans(n_units, max_iter=0, random_state=0),
        image_shape=(32, 32, 3),
        pooling="sum",
        random_state=0,
    )
    codes = encoder.fit(X[:n]).transform(X)
    standardise(codes[:n], codes[n:])
    return 100 * best_of_Cs(codes, y)[0]


def main():
    """Write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-file", type=Path, required=True)
    parser.add_argument("--units", type=int, nargs="+", default=[200, 800])
    parser.add_argument("--qualities", type=int, nargs="*", default=QUALITIES)
    parser.add_argument("--images", type=int, default=25_000)
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args()
    torch.set_num_threads(1)
    data = load_cifar10(args.data_file)
    X, y = data.X_train[: args.images], data.y_train[: args.images]
    lines = []
    with threadpool_limits(1):
        for quality in (None, *args.qualities):
            Z = compressed(X, quality)
            change = 255 * np.sqrt(np.square(Z - X).mean())
            errors = [f"{error(Z, y, n_units):.1f}" for n_units in args.units]
            lines.append([quality or "as they are", f"{change:.1f}", *errors])
            print(*lines[-1], flush=True)
    header = ["JPEG once more, quality", "change, of 255"]
    header += [f"{n_units} units" for n_units in args.units]
    how = (
        f"{args.images} training images of `{args.data_file.name}`: the error in % of "
        "the last fifth, when an SVM has seen the others."
    )
    page = f"# Another compression\n\n{how}\n\n{table(header, lines)}\n"
    args.results.mkdir(parents=True, exist_ok=True)
    (args.results / "jpeg.md").write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
