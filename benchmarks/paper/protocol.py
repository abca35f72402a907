"""The registered protocol in numbers; README.md says the same in words."""

from dataclasses import dataclass

from optuna.distributions import (
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from benchmarks.paper.models import SETS_OF_TABLE_2, SVM, TABLE_1, TABLE_2

# To be raised when what a run does changes, so that its rows are not taken for those of
# before.
PROTOCOL = 4


@dataclass(frozen=True)
class Budget:
    """How much is spent on each model of a data set, the same for all of them.

    Parameters
    ----------
    rungs : tuple of (int, int)
        Trials, and epochs of pre-training of each layer, of each rung.
    n_tuning : int
        Most epochs of fine-tuning.
    n_confirmed : int
        How many of the best trials are run again as final runs are before one is
        chosen; the best is chosen at once if it is 0.
    n_seeds : int
        Final runs of each model ...
    more_seeds : dict
        ... but of these.
    n_components : int
        Units of each layer.
    with_noise : bool
        Whether there is a second line of each model, with noise in fine-tuning.
    one_rung : tuple of str
        Models that have the first rung only.
    """

    rungs: tuple[tuple[int, int], ...]
    n_tuning: int
    n_confirmed: int
    n_seeds: int
    more_seeds: tuple[tuple[str, int], ...] = ()
    n_components: int = 1000
    with_noise: bool = True
    one_rung: tuple[str, ...] = ()

    def rungs_of(self, model):
        """Return the rungs of a model."""
        return self.rungs[:1] if model in self.one_rung else self.rungs

    def seeds(self, model):
        """Return the seeds of a model's final runs, none of them a trial's."""
        n_seeds = dict(self.more_seeds).get(model, self.n_seeds)
        return range(11, 11 + n_seeds)


BUDGETS = {
    "mnist": Budget(((20, 30), (3, 90), (1, 270)), 25, 2, 5, one_rung=("RBM",)),
    "cifar-bw": Budget(((8, 30), (2, 90)), 25, 2, 5, with_noise=False),
}
OF_A_VARIATION = {"n_confirmed": 0, "n_seeds": 1, "with_noise": False}
OF_A_VARIATION["more_seeds"] = (("CAE-1", 3), ("CAE-2", 3))
OF_A_VARIATION["one_rung"] = ("SAE-3", "DAE-b-3", "RBM-3")
BUDGETS |= {
    data: Budget(((6, 30), (1, 90)), 40, **OF_A_VARIATION) for data in SETS_OF_TABLE_2
}
# A tenth of the rows, and as many steps.
BUDGETS["rect"] = Budget(((6, 300), (1, 900)), 400, **OF_A_VARIATION)
BUDGETS["digits"] = Budget(((4, 4), (2, 8)), 8, 1, 2, n_components=16)
# An SVM has no epochs.
SVM_TRIALS = 12

MODELS = {"mnist": TABLE_1, "digits": TABLE_1}
MODELS["cifar-bw"] = [model for model in TABLE_1 if model != "RBM"]
MODELS |= dict.fromkeys(SETS_OF_TABLE_2, TABLE_2)

# Table 2 draws from the region that MNIST's search found for one layer, ...
ONE_LAYER = {"SAE-3": "AE", "RBM-3": "RBM", "DAE-b-3": "DAE-b"}
ONE_LAYER |= {"CAE-1": "CAE", "CAE-2": "CAE"}
# ... spanned by so many of its best trials.
N_REGION = 8

# With these seeds the best trials are run again.
CONFIRMING = [1, 2]

# The second line of each model: Gaussian noise on the rows while fine-tuning, of the
# strength among these that has the lowest validation error.
NOISE = [0.1, 0.2, 0.3]
WITH_NOISE = " with noise"


def settling(setting):
    """Let the rate of fine-tuning fall to 0, so that its last epoch is no draw."""
    return {**setting, "tuning_schedule": "linear"}


# ---- what is drawn ----------------------------------------------------------------


def log(low, high):
    """Draw a number whose logarithm is uniform."""
    return FloatDistribution(low, high, log=True)


SOLVER = CategoricalDistribution(["adam", "sgd", "momentum"])
SCHEDULE = CategoricalDistribution(["constant", "inverse", "linear"])
BATCH_SIZE = IntDistribution(20, 200, log=True)

# Rates are multiples of what is usual for the solver, see `models.RATES`.
PRE_TRAINING = {
    "training": SOLVER,
    "rate": log(0.3, 3.3),
    "batch_size": BATCH_SIZE,
    "schedule": SCHEDULE,
}
FINE_TUNING = {
    "tuning": SOLVER,
    "tuning_rate": log(0.2, 5.0),
    "tuning_batch_size": BATCH_SIZE,
    "tuning_schedule": SCHEDULE,
}
OWN = {
    "AE": {},
    "AE+wd": {"weight_decay": log(1e-5, 1e-2)},
    "DAE-g": {"corruption_level": log(0.1, 0.8)},
    "DAE-b": {"corruption_level": FloatDistribution(0.1, 0.7)},
    "CAE": {"jacobian_penalty": log(0.03, 10.0)},
}
SPACES = {model: {**own, **PRE_TRAINING, **FINE_TUNING} for model, own in OWN.items()}
SPACES["RBM"] = {
    "learning_rate": log(0.01, 0.3),
    # Smaller ones take several times as long here.
    "batch_size": IntDistribution(50, 200, log=True),
    **FINE_TUNING,
}
SPACES[SVM] = {"C": log(0.3, 100.0), "gamma": log(0.002, 0.1)}

# The first two trials of each model: what served best in an earlier search.
TUNED = {"tuning": "adam", "tuning_batch_size": 100, "tuning_schedule": "linear"}
FIRST = {
    "AE": {},
    "AE+wd": {"weight_decay": 3e-4},
    "DAE-g": {"corruption_level": 0.5},
    "DAE-b": {"corruption_level": 0.5},
    "CAE": {"jacobian_penalty": 1.0},
}
BY_DESCENT = {"training": "sgd", "rate": 1.0, "batch_size": 20, "schedule": "linear"}
BY_ADAM = {"training": "adam", "rate": 1.0, "batch_size": 100, "schedule": "linear"}
STARTS = {
    model: [
        {**own, **BY_DESCENT, **TUNED, "tuning_rate": 3.0},
        {**own, **BY_ADAM, **TUNED, "tuning_rate": 1.0},
    ]
    for model, own in FIRST.items()
}
STARTS["RBM"] = [
    {"learning_rate": rate, "batch_size": 50, **TUNED, "tuning_rate": 1.0}
    for rate in (0.1, 0.03)
]
STARTS[SVM] = [{"C": 10.0, "gamma": 0.02}]


def region(space, settings):
    """Narrow a space to the smallest box that holds these settings."""
    return {
        name: box(distribution, [setting[name] for setting in settings])
        for name, distribution in space.items()
    }


def box(distribution, values):
    """Narrow one line of a space to these values and what lies between them."""
    if isinstance(distribution, CategoricalDistribution):
        # In the order of the space, whatever that of the values.
        return CategoricalDistribution(
            [choice for choice in distribution.choices if choice in values]
        )
    return type(distribution)(min(values), max(values), log=distribution.log)
