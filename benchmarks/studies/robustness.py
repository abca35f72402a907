"""Robustness: what a code that moves less keeps of the classes when rows change.

python -m benchmarks.studies.robustness --mnist FILE --cifar FILE
python -m benchmarks.studies.robustness --small
"""

import math
from functools import lru_cache

import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image
from sklearn.datasets import load_sample_images
from sklearn.decomposition import PCA
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.neural_network import BernoulliRBM
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

from benchmarks.studies.attacks import (
    Ball,
    margins,
    with_gradients,
    without_gradients,
)
from benchmarks.studies.classifiers import error, networks_on, svms_on
from benchmarks.studies.study import (
    Study,
    as_text,
    by_set,
    change,
    less,
    level,
    of_set,
    table,
    values,
)
from skcae import Autoencoder, ContractiveAutoencoder, DenoisingAutoencoder
from skcae.inspection import RobustnessCurveDisplay
from skcae.perturbations import PERTURBATIONS

WIDTH = 128
# What is chosen of each model on rows that neither train nor test: λ, the standard
# deviation of the noise as a part of the rows', the rate of the Boltzmann machine, and
# the penalty on changes along tangents.
LEVELS = {
    "raw": (0.0,),
    "AE": (0.0,),
    "CAE": (0.03, 0.1, 0.3, 1.0, 3.0, 10.0),
    "DAE": (0.25, 0.5, 1.0, 2.0, 4.0),
    "CAE+H": (0.03, 0.1, 0.3, 1.0, 3.0, 10.0),
    "RBM": (0.01, 0.03, 0.1),
    "MTC": (0.1, 1.0),
}
CODES, NETWORK = "linear SVM", "network"
MODELS = {
    CODES: ("raw", "AE", "CAE", "DAE", "CAE+H", "RBM"),
    NETWORK: ("AE", "CAE", "DAE", "CAE+H", "MTC"),
}
N_TANGENTS = 4
# Noise in standard deviations of the rows, parts that are hidden, shifts as parts of
# the side, and degrees; radii as parts of the rows' distance from their mean.
KINDS = {
    "gaussian": (0.5, 1.0, 2.0),
    "masking": (0.2, 0.4, 0.6),
    "occlusion": (0.1, 0.2, 0.4),
    "shift": (0.04, 0.08, 0.16),
    "rotation": (10, 20, 40),
    "PGD": (0.05, 0.1, 0.2),
}
UNITS = {
    "gaussian": "σ, in the rows' spread",
    "masking": "part of the columns",
    "occlusion": "part of the image",
    "shift": "part of the side",
    "rotation": "degrees",
    "PGD": "part of the rows' spread",
}
OF_IMAGES = ("occlusion", "shift", "rotation")
# What the attacks take on, and the radius and the axes of the one without gradients.
N_ATTACKED, SEARCHED, N_AXES = 150, 0.1, 64
STRANGE = ("drawn apart", "quarter turn", "photographs")
NAN = float("nan")


def trials(small):
    """List the classifiers of all models, or of two."""
    return [
        {"model": model, "classifier": classifier}
        for classifier, models in MODELS.items()
        for model in (("AE", "CAE") if small else models)
    ]


# ---- what is compared --------------------------------------------------------------


def scale_of(X):
    """Return the root mean square distance of the rows from their mean, of a column."""
    return np.sqrt(X.var(0).mean())


def encoder_of(model, strength, X, seed):
    """Make an encoder that is not fitted."""
    how = {"n_components": WIDTH, "random_state": seed}
    scale = scale_of(X)
    if model == "CAE":
        return ContractiveAutoencoder(jacobian_penalty=strength, **how)
    if model == "CAE+H":
        # As strong as the Jacobian's: the paper's γ is this one over σ².
        sigma = 0.5 * scale
        how |= {"hessian_penalty": strength * sigma**2, "hessian_noise": sigma}
        how |= {"n_hessian_samples": 2}
        return ContractiveAutoencoder(jacobian_penalty=strength, **how)
    if model == "DAE":
        return DenoisingAutoencoder(corruption_level=strength * scale, **how)
    if model == "RBM":
        scaler = "passthrough" if in_unit_interval(X) else MinMaxScaler()
        machine = BernoulliRBM(learning_rate=strength, n_iter=20, **how)
        return make_pipeline(scaler, machine)
    return Autoencoder(**how)


def in_unit_interval(X):
    """Tell whether rows are in [0, 1]."""
    return X.min() >= 0 and X.max() <= 1


def parts_of(data, seed):
    """Return the rows that train, those of choice, and the numbers of their classes."""
    y = np.unique(data.y, return_inverse=True)[1]
    return train_test_split(data.X, y, test_size=0.25, stratify=y, random_state=seed)


@lru_cache(maxsize=8)
def encoders(data, seed, model):
    """Return an encoder of each level."""
    X, *_ = parts_of(data, seed)
    return [encoder_of(model, each, X, seed).fit(X) for each in LEVELS[model]]


@lru_cache(maxsize=8)
def chosen(data, seed, model, classifier):
    """Return the error on the rows of choice, the level, the encoder and the scores.

    At each level it is the classifier of the least error.
    """
    X, X_held, y, y_held = parts_of(data, seed)
    found = []
    for strength, encoder, how in levels(data, seed, model):
        if classifier == CODES:
            tried = svms_on(encoder, X, y)
        else:
            tried = networks_on(encoder, X, y, seed, **how)
        judged = [(error(scores, X_held, y_held), scores) for scores in tried]
        least, scores = min(judged, key=lambda each: each[0])
        found.append((least, strength, encoder, scores))
    if model in ("raw", "AE", "RBM"):
        return min(found, key=lambda each: each[0])
    return strongest(found, chosen(data, seed, "AE", classifier)[0])


def levels(data, seed, model):
    """Return each level, its encoder, and what else its network is told."""
    if model == "MTC":
        encoder = chosen(data, seed, "CAE+H", NETWORK)[2]
        how = {"n_tangents": N_TANGENTS}
        return [(p, encoder, how | {"tangent_penalty": p}) for p in LEVELS[model]]
    made = encoders(data, seed, model) if model != "raw" else [None]
    return [(s, encoder, {}) for s, encoder in zip(LEVELS[model], made, strict=True)]


def strongest(found, most):
    """Return the last whose error is not above the most, or else that of the least."""
    equal = [each for each in found if each[0] <= most]
    return equal[-1] if equal else min(found, key=lambda each: each[0])


# ---- what happens to rows ---------------------------------------------------------


def run(data, seed, trial):
    """Measure one classifier on rows as they are, perturbed and attacked."""
    of = trial["model"], trial["classifier"]
    held_out, strength, encoder, scores = chosen(data, seed, *of)
    y = np.unique(np.r_[data.y, data.y_test], return_inverse=True)[1][len(data.y) :]
    strange = areas(encoder, data, seed) if trial["classifier"] == CODES else {}
    return {
        "level": strength,
        "held out": held_out,
        "clean": error(scores, data.X_test, y),
        **perturbed(scores, data, y, seed),
        **attacked(scores, data, y, seed),
        **dict.fromkeys(STRANGE, NAN),
        **strange,
    }


def side_of(X):
    """Return the side of square images, and None if rows are none of [0, 1]."""
    side = math.isqrt(X.shape[1])
    return side if side**2 == X.shape[1] and in_unit_interval(X) else None


def perturbed(scores, data, y, seed):
    """Return the error under each perturbation."""
    X, side, found = data.X_test, side_of(data.X), {}
    units = {"gaussian": scale_of(data.X), "shift": side}
    for kind, perturb in PERTURBATIONS.items():
        for strength in KINDS[kind]:
            found[f"{kind} {strength}"] = NAN
            if side or kind not in OF_IMAGES:
                rng = np.random.default_rng(seed)
                rows = perturb(X, strength * units.get(kind, 1), rng)
                found[f"{kind} {strength}"] = error(scores, rows, y)
    return found


def attacked(scores, data, y, seed):
    """Return the error under attacks, and of how many rows only the search is right."""
    X, y = (torch.as_tensor(part[:N_ATTACKED]) for part in (data.X_test, y))
    spread = scale_of(data.X) * math.sqrt(X.shape[1])
    values = (0.0, 1.0) if side_of(data.X) else (-torch.inf, torch.inf)
    generator = torch.Generator().manual_seed(seed)
    found, fooled = {"PGD 0": error(scores, X, y.numpy())}, {}
    for radius in KINDS["PGD"]:
        ball = Ball(radius * spread, "l2", *values)
        rows = with_gradients(scores, X, y, ball, generator)
        fooled[radius] = margins(scores(rows), y) < 0
        found[f"PGD {radius}"] = 100 * fooled[radius].double().mean().item()
    axes = PCA(min(N_AXES, *data.X.shape)).fit(data.X).components_
    ball = Ball(SEARCHED * spread, "l2", *values)
    rows = without_gradients(scores, X, y, ball, torch.as_tensor(axes))
    searched = margins(scores(rows), y) < 0
    found["search"] = 100 * searched.double().mean().item()
    alone = searched & ~fooled[SEARCHED]
    return found | {"search alone": 100 * alone.double().mean().item()}


# ---- rows of elsewhere ------------------------------------------------------------


def areas(encoder, data, seed):
    """Return the area under the ROC curve by which scores tell strange rows."""
    if encoder is None:
        encoder = PCA(0.95, svd_solver="full").fit(parts_of(data, seed)[0])
    found = {}
    ours = encoder.score_samples(data.X_test)
    for name, rows in strange_rows(data.X_test, seed).items():
        theirs = encoder.score_samples(rows)
        is_ours = np.repeat([1, 0], [len(ours), len(theirs)])
        found[name] = roc_auc_score(is_ours, np.r_[ours, theirs])
    return found


def strange_rows(X, seed):
    """Return rows whose columns go together no more, and images of other things."""
    rng, side = np.random.default_rng(seed), side_of(X)
    found = {"drawn apart": rng.permuted(X, axis=0)}
    if side:
        images = X.reshape(-1, side, side)
        found["quarter turn"] = np.rot90(images, axes=(1, 2)).reshape(X.shape)
        found["photographs"] = photographs(len(X), side, rng)
    return found


def photographs(n, side, rng):
    """Cut windows of 64 × 64 pixels from scikit-learn's two photographs, in grey."""
    grey = [
        Image.fromarray(image).convert("L") for image in load_sample_images().images
    ]
    windows = []
    for k in range(n):
        left, top = (int(rng.integers(length - 64)) for length in grey[k % 2].size)
        window = grey[k % 2].crop((left, top, left + 64, top + 64))
        windows.append(np.asarray(window.resize((side, side))).ravel() / 255)
    return np.array(windows)


# ---- what is said of it -----------------------------------------------------------


def known(found):
    """Leave out what a set has not."""
    return {key: value for key, value in found.items() if not math.isnan(value)}


def mean_error(rows, kind, **of):
    """Return the mean error over the strengths of a kind, by set and seed."""
    if kind in ("clean", "search"):
        return known(values(rows, kind, **of))
    parts = [known(values(rows, f"{kind} {s}", **of)) for s in KINDS[kind]]
    return {key: np.mean([part[key] for part in parts]) for key in parts[0]}


def models_in(rows, classifier):
    """List the models that were run with a classifier."""
    found = {row["model"] for row in rows if row["classifier"] == classifier}
    return [model for model in MODELS[classifier] if model in found]


def more(rows, model, kind, classifier):
    """Return what a model's error is more than the plain autoencoder's."""
    found, base = (
        mean_error(rows, kind, classifier=classifier, model=name)
        for name in (model, "AE")
    )
    return less(found, base)


def report(rows):
    """Say how the models differ under each perturbation, and what scores tell."""
    texts = []
    for classifier in MODELS:
        models = models_in(rows, classifier)
        header = [classifier, "clean", *KINDS, "search", "search alone"]
        lines = [line_of(rows, model, classifier, len(models) - 1) for model in models]
        texts.append(table(header, lines))
    texts += [
        "Those are the errors of the plain autoencoder in %, and what the others' are "
        "more. The last column is how many rows in % the search changes to another "
        f"class and gradients do not, at the same radius, {SEARCHED}. What the errors "
        "of the contractive autoencoder are more, set by set:",
        *(table_of_more(rows, classifier) for classifier in MODELS),
        "The area under the ROC curve by which scores tell strange rows:",
        table(
            ["scores of", *STRANGE],
            [[model, *areas_of(rows, model)] for model in models_in(rows, CODES)],
        ),
    ]
    return "\n\n".join(texts), draw(rows)


def line_of(rows, model, classifier, n_compared):
    """Return the cells of one model: the errors of the plain one, or what is more."""
    kinds, of = ("clean", *KINDS, "search"), {"classifier": classifier, "model": model}
    alone = level(values(rows, "search alone", **of), 1)
    if model == "AE":
        cells = [level(mean_error(rows, kind, **of), 1) for kind in kinds]
    else:
        found = [more(rows, model, kind, classifier) for kind in kinds]
        cells = [change(each, n_compared, 1) for each in found]
    return [model, *cells, alone]


def table_of_more(rows, classifier):
    """Write a line for each set, with the interval over its seeds."""
    kinds = ("clean", *KINDS, "search")
    columns = [more(rows, "CAE", kind, classifier) for kind in kinds]
    cells = {
        name: [of_set(column, name) for column in columns]
        for name in by_set(columns[0])
    }
    lines = [
        [name, *(as_text(sample, 1) if sample else "" for sample in line)]
        for name, line in cells.items()
    ]
    return table([classifier, *kinds], lines)


def areas_of(rows, model):
    """Return the mean areas of one model as text."""
    of = {"classifier": CODES, "model": model}
    return [level(known(values(rows, name, **of)), 2) for name in STRANGE]


def draw(rows):
    """Draw what errors are more over the strength, a row of panels for a classifier."""
    figure = Figure(figsize=(2.1 * len(KINDS), 5), layout="constrained")
    panels = figure.subplots(len(MODELS), len(KINDS), sharex="col", sharey="row")
    handles = {}
    for classifier, line in zip(MODELS, panels, strict=True):
        for kind, ax in zip(KINDS, line, strict=True):
            ax.set(title=kind, xlabel=UNITS[kind])
            curves = {
                model: curve(rows, model, kind, classifier)
                for model in models_in(rows, classifier)
                if model != "AE"
            }
            if all(map(np.size, curves.values())):
                strengths = np.array([0, *KINDS[kind]])
                RobustnessCurveDisplay(strengths, curves).plot(ax=ax)
                ax.get_legend().remove()
                ax.axhline(0, color="0.7", lw=1)
                ax.set(xlabel=UNITS[kind], ylabel="")
            for drawn, model in zip(ax.lines, curves, strict=False):
                drawn.set(color=f"C{[*LEVELS].index(model)}", linestyle="-")
                handles[model] = drawn
        line[0].set_ylabel(f"{classifier}: points above AE")
    figure.legend(handles.values(), handles, loc="outside upper center", ncols=7)
    return figure


def curve(rows, model, kind, classifier):
    """Return what the error is more at 0 and each strength, (n_strengths, n_runs)."""
    first = "PGD 0" if kind == "PGD" else "clean"  # of the rows that are attacked
    names = [first, *(f"{kind} {strength}" for strength in KINDS[kind])]
    of = {"classifier": classifier}
    found = [
        less(*(values(rows, name, model=each, **of) for each in (model, "AE")))
        for name in names
    ]
    return np.array([[part[key] for key in known(found[-1])] for part in found])


STUDY = Study(
    name="robustness",
    question="Does contraction keep classes when rows change?",
    measure=(
        "Test error of a linear SVM on the codes, and of a network fine-tuned from "
        f"them, of {WIDTH} units: its mean over three strengths of each perturbation, "
        "under projected gradient descent in the Euclidean norm (PGD) and under a "
        f"search that asks for scores alone, at {SEARCHED} of the rows' spread. Clean "
        "errors are equal in this sense: each model is as strongly regularised as it "
        "can be with an error on rows of choice that is at most the plain "
        "autoencoder's. The area under the ROC curve by which `score_samples` "
        "tells strange rows from test rows; of raw rows it is that of a PCA. An answer "
        "is a difference from the plain autoencoder whose interval over sets leaves "
        "out 0."
    ),
    trials=trials,
    run=run,
    report=report,
)

if __name__ == "__main__":
    STUDY.main()
