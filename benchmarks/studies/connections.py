"""Pooling and skip connections, with the contraction of the whole encoder.

python -m benchmarks.studies.connections --mnist FILE --cifar FILE
"""

import math
from functools import partial

from torch import nn

from benchmarks.studies.study import (
    Study,
    change,
    chosen,
    drawn_differences,
    less,
    level,
    measured,
    table,
    table_of_sets,
    values,
)
from skcae import ConvolutionalCAE, ModuleAutoencoder

FILTERS, KERNEL, UNITS = 4, 5, 64
EPOCHS, EPOCHS_OF_LAYERS = 10, 40
PENALTIES = (0.01, 0.3)
# The exact norm of means, or of four layers, takes many vectors.
N_NORMS = 100


class Skip(nn.Module):
    """x + φ(Wx + b)."""

    def __init__(self, n_units):
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(n_units, n_units), nn.Tanh())

    def forward(self, x):
        """Add what one layer makes of x to it."""
        return x + self.inner(x)


def dense(n_features, inner):
    """Return a layer, two inner ones, and the layer of the code."""
    first = nn.Sequential(nn.Linear(n_features, UNITS), nn.Tanh())
    last = nn.Sequential(nn.Linear(UNITS, UNITS), nn.Tanh())
    return nn.Sequential(first, inner(), inner(), last)


def plain(n_features):
    """Return layers one after the other."""
    layer = lambda: nn.Sequential(nn.Linear(UNITS, UNITS), nn.Tanh())  # noqa: E731
    return dense(n_features, layer)


def skipping(n_features):
    """Return layers of which the inner ones are gone around."""
    return dense(n_features, partial(Skip, UNITS))


def convolution(side, pool, penalty, seed):
    """Make one convolution with this pooling."""
    return ConvolutionalCAE(
        FILTERS,
        KERNEL,
        image_shape=(side, side),
        pool=pool,
        jacobian_penalty=penalty,
        max_iter=EPOCHS,
        random_state=seed,
    )


def layers(encoder, penalty, seed):
    """Make an autoencoder of this module, with one linear layer that decodes."""
    how = {"max_iter": EPOCHS_OF_LAYERS, "random_state": seed}
    return ModuleAutoencoder(encoder, jacobian_penalty=penalty, **how)


# By name: what it is compared with, and how it is made.
ARMS = {
    "no pooling": ("no pooling", partial(convolution, pool=None)),
    "largest": ("no pooling", partial(convolution, pool="max")),
    "mean": ("no pooling", partial(convolution, pool="average")),
    "no skips": ("no skips", lambda side, **how: layers(plain, **how)),
    "skips": ("no skips", lambda side, **how: layers(skipping, **how)),
}
COMPARED = [arm for arm, (base, _) in ARMS.items() if arm != base]
MEASURES = {"error": "test error, %", "norm": "‖J‖", "reconstruction": "loss"}


def trials(small):
    """List all encoders, without a penalty and with the λ that training rows choose."""
    return [{"arm": arm, "penalty": p} for arm in ARMS for p in (0, "chosen")]


def run(data, seed, trial):
    """Measure one encoder."""
    _, make = ARMS[trial["arm"]]
    side = math.isqrt(data.X.shape[1])
    of = lambda penalty: make(side=side, penalty=penalty, seed=seed)  # noqa: E731
    penalty = trial["penalty"]
    if penalty == "chosen":
        penalty = chosen(of, PENALTIES, data, seed)
    return {"lambda": penalty, **measured(of(penalty), data, N_NORMS)}


def report(rows):
    """Say what pooling and skips change, and what λ does with each."""
    lines = []
    for of in trials(False):
        base = {"arm": ARMS[of["arm"]][0], "penalty": of["penalty"]}
        found = {name: values(rows, name, **of) for name in MEASURES}
        line = [of["arm"], of["penalty"], *(level(part) for part in found.values())]
        more = less(found["error"], values(rows, "error", **base))
        line.append("" if of == base else change(more, 2 * len(COMPARED)))
        without = values(rows, "error", arm=of["arm"], penalty=0)
        gain = change(less(found["error"], without), len(ARMS))
        lines.append([*line, gain if of["penalty"] else ""])
    header = ["encoder", "λ", *MEASURES.values(), "error, less without"]
    header.append("error, less that of λ = 0")
    errors = {arm: values(rows, "error", arm=arm, penalty="chosen") for arm in ARMS}
    sets = table_of_sets(errors)
    text = f"{table(header, lines)}\n\nTest error, %, with the chosen λ:\n\n{sets}"
    more = {
        f"{arm}, λ {penalty}": less(
            values(rows, "error", arm=arm, penalty=penalty),
            values(rows, "error", arm=ARMS[arm][0], penalty=penalty),
        )
        for arm in COMPARED
        for penalty in (0, "chosen")
    }
    label = "test error less that without pooling or skips, points; a dot is a seed"
    return text, drawn_differences(more, label)


STUDY = Study(
    name="connections",
    question="Do pooling and skip connections help?",
    measure=(
        "Test error of a ridge classifier on the codes, of images. Pooling: one "
        f"convolution, {FILTERS} filters of {KERNEL} × {KERNEL}, the largest or the "
        f"mean of windows of 2 × 2 or none, {EPOCHS} epochs. Skips: four layers of "
        f"{UNITS} units with tanh, of which the two inner ones give φ(Wx + b), or "
        f"x + φ(Wx + b), {EPOCHS_OF_LAYERS} epochs. λ of the whole encoder is 0, or "
        f"chosen on training rows. ‖J‖ is that at {N_NORMS} test rows. An answer is a "
        "difference from the encoder without whose interval over sets leaves out 0."
    ),
    trials=trials,
    run=run,
    report=report,
    sets=("digits", "mnist", "faces", "textures", "cifar"),
    small_sets=("digits",),
)

if __name__ == "__main__":
    STUDY.main()
