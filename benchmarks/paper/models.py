"""The models of the tables, and how a setting builds each.

A setting is what the search draws, see `protocol`: a value by name for the encoder and
for its fine-tuning.
"""

from functools import partial

from sklearn.neural_network import BernoulliRBM
from sklearn.pipeline import make_pipeline

from skcae import (
    Autoencoder,
    ContractiveAutoencoder,
    DenoisingAutoencoder,
    StackedCAE,
)

SVM = "SVM_rbf"
TABLE_1 = ["CAE", "AE", "AE+wd", "DAE-g", "DAE-b", "RBM"]
TABLE_2 = ["CAE-1", "CAE-2", SVM, "SAE-3", "DAE-b-3", "RBM-3"]
SETS_OF_TABLE_2 = ["basic", "rot", "bg-rand", "bg-img", "bg-img-rot"]
SETS_OF_TABLE_2 += ["rect", "rect-img"]

# The paper's: cross-entropy, sigmoid units, tied weights, biases that start at 0. No
# epoch is saved: a stall ends no training.
ENCODER = {
    "loss": "cross_entropy",
    "bias_spread": 0,
    "tol": 0.0,
    "n_iter_no_change": float("inf"),
}
# All layers at one rate, and no penalty.
NETWORK = {
    "encoder_rate_factor": 1.0,
    "alpha": 0.0,
    "tol": 0.0,
    "n_iter_no_change": float("inf"),
}
# By name of a solver its parameters, with what is usual for its rate: of encoders and
# of networks.
RATES = {
    "adam": ({"solver": "adam"}, 0.003, 0.003),
    "sgd": ({"solver": "sgd", "momentum": 0.0}, 0.1, 0.2),
    "momentum": ({"solver": "sgd", "momentum": 0.9}, 0.01, 0.05),
}


class WholeBatches(BernoulliRBM):
    """scikit-learn's RBM, without the last rows that are no whole batch.

    For every batch it draws as many rows of the model as a whole one has, and divides
    what they are by the rows that there are. In a batch of one row they would weigh a
    hundred times as much as the data.
    """

    def fit(self, X, y=None):
        """Fit the model to the first rows of X, as many as there are in batches."""
        n_rows = len(X) // self.batch_size * self.batch_size
        return super().fit(X[:n_rows] if n_rows else X, y)


CLASSES = {
    "AE": Autoencoder,
    "SAE": Autoencoder,
    "AE+wd": Autoencoder,
    "DAE-g": partial(DenoisingAutoencoder, corruption="gaussian"),
    "DAE-b": partial(DenoisingAutoencoder, corruption="masking"),
    "CAE": ContractiveAutoencoder,
}


def encoder(name, parameters, n_components, n_epochs, seed):
    """Build the encoder of a model with these parameters, not yet fitted."""
    kind, n_layers = (name[:-2], 3) if name.endswith("-3") else (name, 1)
    if kind == "RBM":
        rbm = {**parameters, "n_iter": n_epochs}
        return stack(partial(WholeBatches, n_components, **rbm), n_layers, seed)
    ours = {**ENCODER, **parameters, "max_iter": n_epochs}
    if name.startswith("CAE-"):
        sizes = (n_components,) * int(name[-1])
        return StackedCAE(sizes, random_state=seed, **ours)
    return stack(partial(CLASSES[kind], n_components, **ours), n_layers, seed)


def stack(make, n_layers, seed):
    """Return one encoder, or a pipeline of several, each with a seed of its own."""
    layers = [make(random_state=seed + 1000 * k) for k in range(n_layers)]
    return layers[0] if n_layers == 1 else make_pipeline(*layers)


def encoder_parameters(setting):
    """Return the parameters of a setting's encoder."""
    own = {
        name: value
        for name, value in setting.items()
        if name not in ("training", "rate", "schedule")
        and not name.startswith("tuning")
    }
    if "training" not in setting:
        return own
    solver, usual, _ = RATES[setting["training"]]
    return {
        **own,
        **solver,
        "learning_rate": usual * setting["rate"],
        "learning_rate_schedule": setting["schedule"],
    }


def tuning_parameters(setting):
    """Return the parameters of a setting's fine-tuning."""
    solver, _, usual = RATES[setting["tuning"]]
    return {
        **NETWORK,
        **solver,
        "learning_rate": usual * setting["tuning_rate"],
        "learning_rate_schedule": setting["tuning_schedule"],
        "batch_size": setting["tuning_batch_size"],
    }
