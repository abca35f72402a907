"""The published demonstration written down once more, without the library.

    python -m benchmarks.images.transcription --data-file cifar-10-python.tar.gz

Patches at random, contrast, ZCA, k-means from small random centres by 50 passes, the
triangle code at every position, sums over quadrants, and a linear SVM with C = 100
(Coates, Ng and Lee, 2011, and the demonstration that they gave out), one image after
another, beside a `PatchEncoder` of the same images. If both have the same error, what
lies between it and the published one is not in the library.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from benchmarks.images.cifar10 import RESULTS
from benchmarks.images.models import kmeans
from benchmarks.images.svm import LinearSVM, standardise
from benchmarks.speed.measure import table
from skcae import PatchEncoder
from skcae.datasets import load_cifar10

SIDE, PATCH, PASSES = 32, 6, 50
# Of pixels from 0 to 255.
CONTRAST, WHITENING, C = 10.0, 0.1, 100.0
KEPT_PART = 0.2


def normalised(patches):
    """Take off each patch's mean, and divide by its deviation."""
    patches = patches - patches.mean(1, keepdim=True)
    return patches / (patches.var(1, keepdim=True) + CONTRAST).sqrt()


def whitening(patches):
    """Return the mean M and the matrix P of (x − M) P."""
    M = patches.mean(0)
    values, V = torch.linalg.eigh(torch.cov(patches.mT).double())
    return M, (V * (values + WHITENING).rsqrt() @ V.mT).float()


def k_means(X, n_units, random):
    """Return centres: each pass moves them to the mean of what is nearest."""
    centres = 0.1 * torch.randn(n_units, X.shape[1], generator=random)
    for _ in range(PASSES):
        sums, counts = torch.zeros_like(centres), torch.zeros(n_units)
        for part in X.split(4096):
            nearest = (part @ centres.mT - centres.square().sum(1) / 2).argmax(1)
            sums.index_add_(0, nearest, part)
            counts += torch.bincount(nearest, minlength=n_units)
        centres = sums / counts.clamp(min=1)[:, None]
    return centres


def triangle(X, centres):
    """Return max(0, mean distance − distance) of each row and centre."""
    squares = X.square().sum(1, keepdim=True) + centres.square().sum(1)
    distances = (squares - 2 * X @ centres.mT).clamp(min=0).sqrt()
    return (distances.mean(1, keepdim=True) - distances).clamp(min=0)


def pooled(image, M, P, centres):
    """Return the sums over the four quadrants of the codes of one image's patches."""
    patches = image.unfold(0, PATCH, 1).unfold(1, PATCH, 1)
    rows, columns = patches.shape[:2]
    patches = normalised(patches.reshape(rows * columns, -1))
    codes = triangle((patches - M) @ P, centres).reshape(rows, columns, -1)
    half = round(rows / 2)
    parts = [
        part
        for half_rows in (codes[:half], codes[half:])
        for part in (half_rows[:, :half], half_rows[:, half:])
    ]
    return torch.cat([part.sum((0, 1)) for part in parts])


def transcribed(X, n_seen, n_units, n_patches, seed):
    """Return the codes of all images; the first of them choose the centres."""
    random = torch.Generator().manual_seed(seed)
    images = torch.from_numpy(255 * X).reshape(-1, SIDE, SIDE, 3)
    where = torch.randint(n_seen, (n_patches,), generator=random)
    corners = torch.randint(SIDE - PATCH + 1, (n_patches, 2), generator=random)
    patches = torch.stack(
        [
            # Laid out as `unfold` lays them out: channels first.
            images[i, r : r + PATCH, c : c + PATCH].permute(2, 0, 1).reshape(-1)
            for i, (r, c) in zip(where.tolist(), corners.tolist(), strict=True)
        ]
    )
    patches = normalised(patches)
    M, P = whitening(patches)
    centres = k_means((patches - M) @ P, n_units, random)
    codes = np.empty((len(X), 4 * n_units), np.float32)
    for row, image in zip(codes, images, strict=True):
        row[:] = pooled(image, M, P, centres).numpy()
    return codes


def by_library(X, n_seen, n_units, n_patches, seed):
    """Return the codes that a PatchEncoder gives."""
    encoder = PatchEncoder(
        kmeans(n_units, max_iter=0, random_state=seed),
        image_shape=(SIDE, SIDE, 3),
        n_patches=n_patches,
        pooling="sum",
        random_state=seed,
    )
    return encoder.fit(X[:n_seen]).transform(X)


def write(lines, args, n_seen, n_held_out):
    """Write the lines that there are."""
    header = ["units", "by", "error of what it saw", "held-out error", "s"]
    text = (
        "# The demonstration, transcribed\n\n"
        f"k-means of {args.patches} patches, the triangle code, sums over quadrants, "
        f"and a linear SVM of C = {C:g}: errors in %, of {n_seen} training images of "
        f"`{args.data_file.name}` and of {n_held_out} others, which were held out. "
        "Times are of one thread, with k-means.\n\n" + table(header, lines) + "\n"
    )
    (args.results / "transcription.md").write_text(text)


def main():
    """Write the table, after each line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-file", type=Path, required=True)
    parser.add_argument("--units", type=int, nargs="+", default=[400, 1600])
    parser.add_argument("--patches", type=int, default=400_000)
    parser.add_argument("--images", type=int, default=50_000)
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args()
    torch.set_num_threads(1)
    data = load_cifar10(args.data_file)
    X = np.concatenate([data.X_train, data.X_valid])[: args.images]
    y = np.concatenate([data.y_train, data.y_valid])[: args.images]
    n = len(X) - int(len(X) * KEPT_PART)
    lines = []
    with threadpool_limits(1):
        for n_units in args.units:
            for name, way in (
                ("transcription", transcribed),
                ("PatchEncoder(KMeans)", by_library),
            ):
                start = time.process_time()
                codes = way(X, n, n_units, args.patches, seed=0)
                seconds = time.process_time() - start
                standardise(codes[:n], codes[n:])
                svm = LinearSVM(C, max_iter=1000).fit(codes[:n], y[:n])
                errors = svm.error(codes[:n], y[:n]), svm.error(codes[n:], y[n:])
                shown = [f"{100 * error:.1f}" for error in errors]
                lines.append([n_units, name, *shown, f"{seconds:.0f}"])
                print(*lines[-1], flush=True)
                write(lines, args, n, len(X) - n)


if __name__ == "__main__":
    main()
