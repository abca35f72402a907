"""
Watching a fit
==============

scikit-learn's callbacks see each epoch of a fit: a `ScoringMonitor` scores it, an
`EpochBar` shows it, and one of your own can end it.
"""

# %%
# A score for each epoch
# ----------------------
# A `ScoringMonitor` calls a scorer with the model as it is after each epoch. It scores
# the data that is trained on, and only if `fit` gets a y; a scorer that holds its own
# data, as the one here, can score whatever it likes.

import matplotlib.pyplot as plt
from sklearn.callback import ScoringMonitor
from sklearn.datasets import load_digits
from sklearn.linear_model import RidgeClassifier
from sklearn.model_selection import train_test_split

from skcae import ContractiveAutoencoder
from skcae.inspection import jacobian_norm
from skcae.progress import EpochBar

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(
    X / 16, y, test_size=0.5, stratify=y, random_state=0
)


def scores(model, X, y):
    """Measure the model on the training data and on data of our own."""
    ridge = RidgeClassifier().fit(model.transform(X), y)
    return {
        "training": -model.score(X),
        "held out": -model.score(X_test),
        "norm": jacobian_norm(model, X_test).mean(),
        "error": 100 * (1 - ridge.score(model.transform(X_test), y_test)),
    }


cae = ContractiveAutoencoder(
    n_components=64,
    jacobian_penalty=0.1,
    loss="cross_entropy",
    max_iter=60,
    tol=0.01,
    random_state=0,
)
monitor = ScoringMonitor(scoring=scores)
cae.set_callbacks(monitor).fit(X_train, y_train)
log = [row for row in monitor.get_logs().data if row["task_name"] == "epoch"]

# %%
# `get_logs().data_as_pandas` is the same as a table. The reconstruction gets better to
# the end; what a ridge classifier makes of the codes does not after the first twenty
# epochs.

epochs = range(1, len(log) + 1)
fig, axes = plt.subplots(1, 3, figsize=(11, 3.4), layout="constrained")
lines = [
    (0, "training", "-", "tab:blue"),
    (0, "held out", "--", "tab:orange"),
    (1, "norm", "-", "tab:blue"),
    (2, "error", "-", "tab:blue"),
]
for panel, name, style, color in lines:
    axes[panel].plot(epochs, [row[name] for row in log], style, color=color, label=name)
axes[0].legend()
labels = ["reconstruction loss, nats", "mean ‖J‖, held out", "ridge's test error, %"]
for ax, label in zip(axes, labels, strict=True):
    ax.set(xlabel="epoch", ylabel=label, ylim=(0, None))
plt.show()

# %%
# A callback that ends the fit
# ----------------------------
# A callback is an object with four methods. If `on_fit_task_end` returns True after an
# epoch, the fit ends there. This one watches the classifier on the held-out rows, where
# `early_stopping` would watch the objective. With a patience of five epochs it misses
# the error's second fall.


class UntilWorse:
    """Ends a fit when the held-out error has had no new minimum for some epochs."""

    def __init__(self, patience):
        self.patience = patience

    def setup(self, estimator, context):
        """Begin with no errors."""
        self.errors = []

    def teardown(self, estimator, context):
        """Do nothing: there is nothing to close."""

    def on_fit_task_begin(self, estimator, context):
        """Do nothing before an epoch."""

    def on_fit_task_end(self, estimator, context, *, X, y, fitted_estimator):
        """Measure the error after each epoch; True ends the fit."""
        if context.task_name != "epoch":
            return False
        self.errors.append(scores(fitted_estimator, X, y)["error"])
        return min(self.errors) < min(self.errors[-self.patience :])


cae.set_callbacks(UntilWorse(patience=5)).fit(X_train, y_train)
print(f"ended after {cae.n_iter_} epochs")

# %%
# A progress bar
# --------------
# An `EpochBar` shows the epoch and its objective. Set on a pipeline or a search it
# reaches the fits in it, down to the depth that it is told. What it shows, a callback
# of your own finds as `context.objective` and, with early stopping,
# `context.held_out` at the end of an epoch.

cae.set_params(max_iter=20).set_callbacks(EpochBar()).fit(X_train)
