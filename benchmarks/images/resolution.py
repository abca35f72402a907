"""What larger images cost, and what they are worth: 32 to 512 pixels a side.

    python -m benchmarks.images.resolution
    python -m benchmarks.images.resolution --sides 32 96 --quality-sides 32

Images are tiles of the photographs in colour that scikit-learn, scikit-image and
matplotlib bring along. Cost: a patch encoder's fit and its extraction, beside torch's
convolution of the same shapes, and how much longer an epoch of a convolution gets by
the exact penalty. Every row has a process of its own, whose peak of memory is told.
Quality: from which photograph a tile comes. One thread.
"""

import argparse
import json
import multiprocessing
import time
import warnings
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import RidgeClassifierCV
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits
from torch.nn import functional

from benchmarks.images.models import RandomPatches
from benchmarks.speed.measure import commit, in_turn, machine, table
from skcae import Autoencoder, ContractiveAutoencoder, ConvolutionalCAE, PatchEncoder

PHOTOGRAPHS = (
    "sklearn/datasets/images/china.jpg",
    "sklearn/datasets/images/flower.jpg",
    "matplotlib/mpl-data/sample_data/grace_hopper.jpg",
    "skimage/data/astronaut.png",
    "skimage/data/chelsea.png",
    "skimage/data/coffee.png",
    "skimage/data/hubble_deep_field.jpg",
    "skimage/data/ihc.png",
    "skimage/data/motorcycle_left.png",
    "skimage/data/retina.jpg",
    "skimage/data/rocket.jpg",
)
UNITS = 100
FILTERS = 32
RESULTS = Path(__file__).parents[1] / "results" / "images"


def photograph(path):
    """Read one as (height, width, 3), in [0, 1]."""
    package, _, name = path.partition("/")
    (folder,) = find_spec(package).submodule_search_locations
    image = Image.open(Path(folder) / name).convert("RGB")
    return np.asarray(image, np.float32) / 255


def tiles(side, at_most=None, seed=0):
    """Cut photographs into squares that do not overlap; return rows, and whose."""
    X, y = [], []
    for which, path in enumerate(PHOTOGRAPHS):
        image = photograph(path)
        rows, columns = (size // side for size in image.shape[:2])
        cut = image[: rows * side, : columns * side]
        cut = cut.reshape(rows, side, columns, side, 3).swapaxes(1, 2)
        cut = cut.reshape(-1, 3 * side * side)
        order = np.random.default_rng(seed).permutation(len(cut))[:at_most]
        X.append(cut[order])
        y += [which] * len(order)
    return np.concatenate(X), np.array(y)


def memory(name):
    """Return what this process takes in MiB, VmRSS now or VmHWM at its peak."""
    lines = Path("/proc/self/status").read_text().splitlines()
    line = next(line for line in lines if line.startswith(name))
    return int(line.split()[1]) / 1024


class Rise:
    """The rise of memory within, in MiB, over what there was before."""

    def __enter__(self):
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        self.before = memory("VmRSS")
        return self

    def __exit__(self, *exception):
        self.mb = memory("VmHWM") - self.before


def alone(function, *args):
    """Call a function in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, args)


def encoder_of_patches(encoder, side, **how):
    """Return the encoder of tiles that is measured."""
    return PatchEncoder(encoder, image_shape=(side, side, 3), random_state=0, **how)


def repeated(X, n):
    """Return n rows."""
    return np.resize(X, (n, X.shape[1]))


def cost_of_patches(side, n_images):
    """Return what fitting and extracting takes for images of this size."""
    quiet()
    X = repeated(tiles(side)[0], n_images)
    cae = ContractiveAutoencoder(UNITS, max_iter=10, tol=0.0, random_state=0)
    model = encoder_of_patches(cae, side, n_patches=20_000)
    with Rise() as rise:
        start = time.process_time()
        model.fit(X)
        fit_s = time.process_time() - start
        model.transform(X)
    few = X[: max(1, 2**22 // (side**2 * UNITS))]
    images = torch.from_numpy(few).view(-1, side, side, 3).permute(0, 3, 1, 2)
    filters = model._encoding_layers()[0].filters.float().permute(0, 3, 1, 2)
    took = in_turn(
        {
            "convolution": lambda: functional.conv2d(images, filters),
            "encoder": lambda: model.transform(few),
        },
        clock=time.process_time,
    )
    ms = {name: 1e3 * seconds / len(few) for name, seconds in took.items()}
    return {"fit_s": fit_s, "rise": rise.mb, **ms}


def cost_of_penalty(side, n_images):
    """Return the milliseconds of an epoch per image, without and with the penalty."""
    quiet()
    X = repeated(tiles(side)[0], n_images)
    make = partial(
        ConvolutionalCAE,
        FILTERS,
        5,
        image_shape=(side, side, 3),
        max_iter=1,
        batch_size=8,
        random_state=0,
    )
    fits = {
        penalty: lambda penalty=penalty: make(jacobian_penalty=penalty).fit(X)
        for penalty in (0.0, 0.1)
    }
    with Rise() as rise:
        took = in_turn(fits, rounds=5, clock=time.process_time)
    without, with_it = (1e3 * seconds / n_images for seconds in took.values())
    return {"without": without, "with": with_it, "rise": rise.mb}


def cost(sides):
    """Return both tables of cost."""
    patches, penalties = [], []
    for side in sides:
        fewer = max(8, 2**21 // side**2 // 8)
        for n_images in (fewer, 8 * fewer):
            found = alone(cost_of_patches, side, n_images)
            of_1000 = 1e3 * found["encoder"] / side**2
            rate = found["convolution"] / found["encoder"]
            patches.append(
                [
                    f"{side} × {side}",
                    n_images,
                    f"{found['fit_s']:.1f}",
                    f"{found['encoder']:.2f}",
                    f"{of_1000:.2f}",
                    f"{rate:.2f}",
                    f"{found['rise']:.0f}",
                    f"{n_images * side**2 * 12 / 2**20:.0f}",
                ]
            )
            print(patches[-1], flush=True)
        found = alone(cost_of_penalty, side, max(8, fewer // 8))
        share = 1 - found["without"] / found["with"]
        numbers = [f"{found[name]:.1f}" for name in ("without", "with")]
        penalties.append(
            [f"{side} × {side}", *numbers, f"{share:.0%}", f"{found['rise']:.0f}"]
        )
        print(penalties[-1], flush=True)
    return patches, penalties


ENCODERS = {
    "random patches, triangle": lambda seed: RandomPatches(UNITS, random_state=seed),
    "k-means, triangle": lambda seed: KMeans(
        UNITS, init="random", n_init=1, max_iter=50, random_state=seed
    ),
    "AE": lambda seed: Autoencoder(UNITS, max_iter=15, random_state=seed),
    "CAE, λ = 0.3": lambda seed: ContractiveAutoencoder(
        UNITS, jacobian_penalty=0.3, max_iter=15, random_state=seed
    ),
    "CAE, λ = 1": lambda seed: ContractiveAutoencoder(
        UNITS, jacobian_penalty=1.0, max_iter=15, random_state=seed
    ),
}


def errors(side, seed):
    """Return the error of telling photographs apart with each encoder, in per cent."""
    X, y = tiles(side, at_most=40, seed=seed)
    folds = StratifiedKFold(5, shuffle=True, random_state=seed)
    judge = make_pipeline(StandardScaler(), RidgeClassifierCV(np.logspace(-2, 5, 15)))
    how = {"n_patches": 50_000, "pooling": "sum"}
    whole = {"raw pixels": judge} | {
        name: make_pipeline(encoder_of_patches(make(seed), side, **how), judge)
        for name, make in ENCODERS.items()
    }
    return {
        name: 100 * (1 - cross_val_score(pipeline, X, y, cv=folds).mean())
        for name, pipeline in whole.items()
    }


def quality(sides, seeds):
    """Return the table of errors."""
    lines = {}
    for side in sides:
        found = [errors(side, seed) for seed in range(seeds)]
        n = len(tiles(side, at_most=40)[0])
        for name in found[0]:
            values = np.array([one[name] for one in found])
            text = f"{values.mean():.1f} ± {values.std(ddof=1):.1f}"
            lines.setdefault(name, []).append(text)
        print(side, n, json.dumps(found), flush=True)
    return [[name, *values] for name, values in lines.items()]


def quiet():
    """Take one thread, and no word of fits that are cut short."""
    torch.set_num_threads(1)
    threadpool_limits(1)
    warnings.simplefilter("ignore", ConvergenceWarning)


def main():
    """Write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sides", type=int, nargs="*", default=[32, 96, 224, 512])
    parser.add_argument("--quality-sides", type=int, nargs="*", default=[32, 64, 96])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args()
    quiet()
    args.results.mkdir(parents=True, exist_ok=True)
    if args.sides:
        write(args.results / "resolution.md", "Cost of larger images", cost_of(args))
    if args.quality_sides:
        path = args.results / "resolution_quality.md"
        write(path, "Photographs told apart", quality_of(args))


def cost_of(args):
    """Return the parts of the report of cost."""
    patches, penalties = cost(args.sides)
    return [
        f"{machine()}, one thread. Commit {commit()}.",
        f"Patches of 6 × 6, {UNITS} units; 20,000 patches, 10 epochs:",
        table(
            [
                "images",
                "of them",
                "fit, s",
                "encode, ms",
                "of 1000 pixels, ms",
                "rate of conv2d",
                "rise of memory, MiB",
                "the images, MiB",
            ],
            patches,
        ),
        f"A convolution of {FILTERS} filters of 5 × 5, tied, in batches of 8, an "
        "image's epoch:",
        table(
            ["images", "λ = 0, ms", "λ > 0, ms", "penalty's share", "rise, MiB"],
            penalties,
        ),
    ]


def quality_of(args):
    """Return the parts of the report of quality."""
    return [
        f"From which of {len(PHOTOGRAPHS)} photographs a tile comes, error in per cent "
        f"of 5 folds, mean and standard deviation over {args.seeds} draws; {UNITS} "
        "units:",
        table(
            ["tiles of", *(f"{side} × {side}" for side in args.quality_sides)],
            quality(args.quality_sides, args.seeds),
        ),
    ]


def write(path, title, parts):
    """Write a report."""
    path.write_text("\n\n".join([f"# {title}", *parts]) + "\n", "utf-8")


if __name__ == "__main__":
    main()
