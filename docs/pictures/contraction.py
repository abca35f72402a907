"""Draw what contraction does: the pictures of the home page and of the README.

``python docs/pictures/contraction.py`` writes both into ``docs/_static``, in half a
minute, and prints the numbers in them. The data is scikit-learn's digits.
"""

from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
from scipy.spatial.distance import pdist
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.svm import LinearSVC

from skcae import ContractiveAutoencoder

STATIC = Path(__file__).parents[1] / "_static"
NOISE = (0.0, 0.1, 0.2, 0.3, 0.4)
COLORS = {"pixels": "#8a8a8a", "λ = 0": "#1f77b4", "λ = 0.3": "#d1495b"}


def fitted(X, y, **how):
    """Fit a linear SVM on pixels and on the codes of two encoders, without noise."""
    encoders = {
        "pixels": FunctionTransformer(),
        "λ = 0": ContractiveAutoencoder(jacobian_penalty=0.0, **how),
        "λ = 0.3": ContractiveAutoencoder(jacobian_penalty=0.3, **how),
    }
    return {
        name: make_pipeline(encoder, LinearSVC(max_iter=20_000)).fit(X, y)
        for name, encoder in encoders.items()
    }


def draw_codes(models, image, direction, X):
    """Draw an image under more and more noise, and by how much each unit moves.

    The distance that the code moves is divided by the mean distance of two images'
    codes, so that an encoder gains nothing by making all of them small.
    """
    noises = NOISE[:4]
    noisy = [image + noise * direction for noise in noises]
    fig, axes = plt.subplots(3, len(noises), figsize=(5, 4.3), layout="constrained")
    for ax, noise, row in zip(axes[0], noises, noisy, strict=True):
        ax.imshow(row.reshape(8, 8), cmap="gray_r", vmin=-0.1, vmax=1)
        ax.set_title(f"noise {noise}" if noise else "no noise", fontsize=11)
    axes[0, 0].set_ylabel("image", fontsize=11)
    for line, name in zip(axes[1:], list(models)[1:], strict=True):
        encoder = models[name][0]
        codes = encoder.transform(noisy)
        shares = np.linalg.norm(codes - codes[0], axis=1)
        shares /= pdist(encoder.transform(X)).mean()
        line[0].imshow(codes[0].reshape(16, 16), cmap="gray_r", vmin=0, vmax=1)
        line[0].set_xlabel("code", fontsize=11)
        line[0].set_ylabel(name, fontsize=12, color=COLORS[name])
        for ax, code, share in zip(line[1:], codes[1:], shares[1:], strict=True):
            moved = np.abs(code - codes[0]).reshape(16, 16)
            ax.imshow(moved, cmap="Reds", vmin=0, vmax=0.6)
            ax.set_xlabel(f"moves {share:.2f}", fontsize=11)
        print(name, "moves", *(f"{share:.2f}" for share in shares))
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[])
    return fig


def draw_errors(models, X, y, directions):
    """Draw the test error under more and more noise."""
    fig, ax = plt.subplots(figsize=(5, 4.3), layout="constrained")
    for name, model in models.items():
        errors = [100 * (1 - model.score(X + s * directions, y)) for s in NOISE]
        label = name if name == "pixels" else f"codes, {name}"
        ax.plot(NOISE, errors, "o-", color=COLORS[name], linewidth=2.2, label=label)
        print(name, "test error, %", *(f"{error:.1f}" for error in errors))
    ax.set_xlabel("noise on the test images, standard deviation", fontsize=11)
    ax.set_ylabel("test error of a linear SVM, %", fontsize=11)
    ax.set(xticks=NOISE, ylim=(0, None))
    ax.legend(frameon=False, fontsize=12)
    ax.spines[["top", "right"]].set_visible(False)
    return fig


def main(folder=STATIC, **how):
    """Train, draw and write."""
    matplotlib.use("agg")
    X, y = load_digits(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(
        X / 16, y, test_size=0.5, stratify=y, random_state=0
    )
    directions = np.random.default_rng(0).normal(size=X_test.shape)
    how = {"loss": "cross_entropy", "random_state": 0, **how}
    models = fitted(X_train, y_train, **how)
    three = np.flatnonzero(y_test == 3)[0]
    pictures = {
        "contraction_codes": draw_codes(
            models, X_test[three], directions[three], X_test
        ),
        "contraction_errors": draw_errors(models, X_test, y_test, directions),
    }
    for name, fig in pictures.items():
        fig.savefig(folder / f"{name}.png", dpi=200, metadata={"Software": None})
        plt.close(fig)


if __name__ == "__main__":
    main()
