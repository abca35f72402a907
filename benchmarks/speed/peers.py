"""Compare skcae with other ways to train a one-layer autoencoder.

    python benchmarks/speed/peers.py
    python benchmarks/speed/peers.py --data-file mnist.npz

Two questions, on one thread, in float32 and in one process: how long an epoch takes
with equal settings, and how long it takes to get the reconstruction error down to a
common target with settings chosen for each. peers.txt says how to install the peers;
those that are missing are left out.
"""

import argparse
import contextlib
import copy
import importlib
import importlib.metadata
import io
import logging
import math
import shlex
import sys
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from measure import in_turn, table, write
from scipy.special import expit
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import BernoulliRBM, MLPRegressor
from sklearn.utils import check_random_state
from threadpoolctl import threadpool_limits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import skcae
from skcae import ContractiveAutoencoder

# Equal settings, for the time of an epoch.
LEARNING_RATE = 1e-3
BATCH_SIZE = 100
# The lengths of what is timed in steps because its epochs are too long.
STEPS = 1, 3
# What each may choose from, for the time to the same error.
LEARNING_RATES = [1e-3, 3e-3, 1e-2]
BATCH_SIZES = [50, 200]
# λ of the contractive objectives, which does not change how long they take.
PENALTY = 0.1
# More epochs than any fit has, for what would stop it early.
NEVER = 1_000_000
TARGET_EPOCHS = 20


class Stopwatch:
    """Add up the seconds between start and stop."""

    def __init__(self):
        self.seconds = 0.0

    def start(self):
        """Go on counting."""
        self.started = time.perf_counter()

    def stop(self):
        """Stop counting."""
        self.seconds += time.perf_counter() - self.started


# ---- contenders -----------------------------------------------------------------


class Contender:
    """One way to train an autoencoder, with the same handles as the others.

    `make` gives a fresh model, which `epoch` trains further and `fit_epochs` trains
    from the start. An activation of None is a linear code.
    """

    package = "scikit-learn"
    how = ""
    # What it minimises, of the squared error: Adam does not see a constant factor.
    loss = "sum"
    # Whether it runs so long that a few steps must do.
    timed_by_step = False
    # Whether it minimises a reconstruction error.
    reconstructs = True

    def __init__(self, name, *, tied=False, activation="sigmoid", penalty=0.0):
        self.name = name
        self.tied = tied
        self.activation = activation
        self.penalty = penalty

    @property
    def objective(self):
        """Name the objective: contenders with the same name have the same."""
        kind = "contractive" if self.penalty else "plain"
        return f"{kind}, {self.activation or 'linear'} code"

    @property
    def compared_with(self):
        """Name the objective of ours that it is compared with."""
        return self.objective

    def make(self, n_features, n_hidden, learning_rate, batch_size, seed):
        """Make a fresh model."""
        model = copy.copy(self)
        model.batch_size = batch_size
        torch.manual_seed(seed)
        model.build(n_features, n_hidden, learning_rate, seed)
        return model

    def build(self, n_features, n_hidden, learning_rate, seed):
        """Build what `make` hands out."""
        raise NotImplementedError

    def epoch(self, X):
        """Pass once over the rows, going on from the present state."""
        raise NotImplementedError

    def fit_epochs(self, X, k):
        """Train a fresh model for k epochs, as its documentation shows."""
        for _ in range(k):
            self.epoch(X)

    def train(self, X, n_epochs, clock, enough):
        """Train until `enough` says so after an epoch, while the clock stands."""
        for _ in range(n_epochs):
            clock.start()
            self.epoch(X)
            clock.stop()
            if enough(self):
                return

    def encode(self, X):
        """Compute the hidden code."""
        raise NotImplementedError

    def reconstruct(self, X):
        """Decode the hidden code."""
        raise NotImplementedError


class EstimatorContender(Contender):
    """What holds a transformer with a parameter for the number of epochs."""

    n_epochs_parameter = "max_iter"

    def fit_epochs(self, X, k):
        """Call `fit`."""
        self.estimator.set_params(**{self.n_epochs_parameter: k}).fit(X)

    def encode(self, X):
        """Call `transform`."""
        return self.estimator.transform(X)


class Skcae(EstimatorContender):
    """The estimator of this project."""

    package = "skcae"
    how = "`fit` with `max_iter`, for B `partial_fit`"

    def build(self, n_features, n_hidden, learning_rate, seed):
        """Make the estimator."""
        self.estimator = ContractiveAutoencoder(
            n_hidden,
            jacobian_penalty=self.penalty,
            activation=self.activation or "identity",
            tied_weights=self.tied,
            solver="adam",
            learning_rate=learning_rate,
            learning_rate_schedule="constant",
            batch_size=self.batch_size,
            tol=0,
            n_iter_no_change=NEVER,
            random_state=seed,
        )

    def epoch(self, X):
        """Call `partial_fit`."""
        self.estimator.partial_fit(X)

    def reconstruct(self, X):
        """Call `transform` and `inverse_transform`."""
        return self.estimator.inverse_transform(self.encode(X))


class TorchContender(Contender):
    """What holds a torch encoder and decoder, as `encoder` and `decoder`."""

    def encode(self, X):
        """Call the encoder."""
        with torch.no_grad():
            return self.encoder(torch.from_numpy(X)).numpy()

    def reconstruct(self, X):
        """Call the encoder and the decoder."""
        with torch.no_grad():
            return self.decoder(self.encoder(torch.from_numpy(X))).numpy()


class Pyautoencoder(TorchContender):
    """pyautoencoder's AE in the loop that its documentation shows."""

    package = "pyautoencoder"
    how = "its `AE` and `compute_loss`, a `DataLoader` and torch's Adam in a loop"
    loss = "half the sum"
    # torch's default for Adam on the CPU is one operation after the other.
    fused = None

    def build(self, n_features, n_hidden, learning_rate, seed):
        """Make the model and the optimiser."""
        from pyautoencoder.vanilla import AE

        self.encoder, self.decoder = layers(n_features, n_hidden)
        self.module = AE(encoder=self.encoder, decoder=self.decoder)
        self.optimizer = torch.optim.Adam(
            self.module.parameters(), lr=learning_rate, fused=self.fused
        )

    def epoch(self, X):
        """Run the loop over the batches."""
        rows = TensorDataset(torch.from_numpy(X))
        for (x,) in DataLoader(rows, batch_size=self.batch_size, shuffle=True):
            self.optimizer.zero_grad()
            output = self.module(x)
            loss = self.module.compute_loss(x, output, likelihood="gaussian")
            loss.objective.backward()
            self.optimizer.step()


class PyautoencoderFused(Pyautoencoder):
    """The same loop with what makes it fastest, which its documentation leaves out."""

    how = "the same loop with `torch.optim.Adam(..., fused=True)`"
    fused = True


class Autoencoders(TorchContender):
    """autoencoders' AE or CAE, with the sigmoid layer that its MLP does not offer.

    Without an activation it is its own MLP backbone, whose last layer is linear.
    """

    package = "autoencoders"
    loss = "mean"

    @property
    def how(self):
        """Say which trainer and which layers."""
        kind = "torch layers as `encoder`" if self.activation else "its own `mlp`"
        return f"`AETrainer.train_epoch`, {kind}, a `DataLoader`, torch's Adam"

    @property
    def timed_by_step(self):
        """Each step calls autograd once for each hidden unit."""
        return self.penalty > 0

    def build(self, n_features, n_hidden, learning_rate, seed):
        """Make the model and its trainer."""
        from autoencoders import AETrainer, TrainingConfig
        from autoencoders.data.base import TensorSpec
        from autoencoders.models.ae import AutoencoderConfig, AutoencoderModel
        from autoencoders.models.cae import (
            ContractiveAutoencoderConfig,
            ContractiveAutoencoderModel,
        )

        if self.penalty:
            # Its error is the mean over features and its penalty is a sum.
            strength = self.penalty / n_features
            config = ContractiveAutoencoderConfig(contractive_weight=strength)
            model_class = ContractiveAutoencoderModel
        else:
            config, model_class = AutoencoderConfig(), AutoencoderModel
        if self.activation:
            encoder, decoder = layers(n_features, n_hidden)
            sizes = None, None
        else:
            encoder = decoder = "mlp"
            sizes = {"hidden_dims": [n_hidden]}, {"hidden_dims": [n_features]}
        module = model_class(
            config=config,
            sample_spec=TensorSpec(shape=(n_features,)),
            encoder=encoder,
            encoder_config=sizes[0],
            decoder=decoder,
            decoder_config=sizes[1],
        )
        self.encoder, self.decoder = module.encoder, module.decoder
        self.trainer = AETrainer(
            model=module,
            args=TrainingConfig(learning_rate=learning_rate, device="cpu"),
        )

    def epoch(self, X):
        """Call `train_epoch`, and keep what it displays from the terminal."""
        loader = DataLoader(
            torch.from_numpy(X), batch_size=self.batch_size, shuffle=True
        )
        with contextlib.redirect_stdout(io.StringIO()):
            self.trainer.train_epoch(loader)


class Encdr(EstimatorContender):
    """encdr's ENCDR, whose code is linear: activations come in deeper ones only."""

    package = "encdr"
    n_epochs_parameter = "max_epochs"
    how = "`fit` with `max_epochs`, for B one `fit` watched by a Lightning callback"
    loss = "mean"

    def build(self, n_features, n_hidden, learning_rate, seed):
        """Make the estimator, without standardising nor held-out rows."""
        from encdr import ENCDR

        self.estimator = ENCDR(
            hidden_dims=[],
            latent_dim=n_hidden,
            learning_rate=learning_rate,
            batch_size=self.batch_size,
            validation_split=0.0,
            standardize=False,
            random_state=seed,
            trainer_kwargs={
                "accelerator": "cpu",
                "enable_progress_bar": False,
                "enable_model_summary": False,
            },
        )

    def train(self, X, n_epochs, clock, enough):
        """Call `fit` once, since it always starts afresh, and watch its epochs."""
        from lightning import Callback

        contender = self

        class Watch(Callback):
            def on_train_epoch_end(self, trainer, pl_module):
                clock.stop()
                trainer.should_stop = enough(contender)
                clock.start()

        quiet = self.estimator.trainer_kwargs
        self.estimator.trainer_kwargs = {**quiet, "callbacks": [Watch()]}
        clock.start()
        self.fit_epochs(X, n_epochs)
        clock.stop()

    def reconstruct(self, X):
        """Do what `predict` does, which is not to be called within `fit`."""
        with torch.no_grad():
            return self.estimator.model_(torch.from_numpy(X)).numpy()


class Autoencoder(nn.Module):
    """The module that skorch trains."""

    def __init__(self, n_features, n_hidden):
        super().__init__()
        self.encoder, self.decoder = layers(n_features, n_hidden)

    def forward(self, X):
        """Reconstruct."""
        return self.decoder(self.encoder(X))


class Skorch(TorchContender):
    """skorch around a module, with the rows as their own targets."""

    package = "skorch"
    how = "`NeuralNetRegressor.fit(X, X)`, for B `partial_fit`, torch's Adam"
    loss = "mean"

    def build(self, n_features, n_hidden, learning_rate, seed):
        """Make the net."""
        from skorch import NeuralNetRegressor

        self.net = NeuralNetRegressor(
            Autoencoder,
            module__n_features=n_features,
            module__n_hidden=n_hidden,
            optimizer=torch.optim.Adam,
            lr=learning_rate,
            batch_size=self.batch_size,
            max_epochs=1,
            iterator_train__shuffle=True,
            train_split=None,
            verbose=0,
        )

    def epoch(self, X):
        """Call `partial_fit`, which runs `max_epochs` epochs."""
        self.net.partial_fit(X, X)

    def fit_epochs(self, X, k):
        """Call `fit`."""
        self.net.set_params(max_epochs=k).fit(X, X)

    @property
    def encoder(self):
        """Return the trained encoder."""
        return self.net.module_.encoder

    @property
    def decoder(self):
        """Return the trained decoder."""
        return self.net.module_.decoder


class Mlp(Contender):
    """scikit-learn's MLPRegressor, with the rows as their own targets."""

    how = "`fit(X, X)` with `max_iter`, for B `partial_fit`"
    loss = "half the sum"

    def build(self, n_features, n_hidden, learning_rate, seed):
        """Make the estimator, without its weight decay."""
        self.estimator = MLPRegressor(
            hidden_layer_sizes=(n_hidden,),
            activation="logistic",
            solver="adam",
            alpha=0.0,
            batch_size=self.batch_size,
            learning_rate_init=learning_rate,
            n_iter_no_change=NEVER,
            tol=0,
            # From an int, each `partial_fit` would take the rows in the same order.
            random_state=check_random_state(seed),
        )

    def epoch(self, X):
        """Call `partial_fit`."""
        self.estimator.partial_fit(X, X)

    def fit_epochs(self, X, k):
        """Call `fit`."""
        self.estimator.set_params(max_iter=k).fit(X, X)

    def encode(self, X):
        """Compute what it has no method for."""
        return expit(X @ self.estimator.coefs_[0] + self.estimator.intercepts_[0])

    def reconstruct(self, X):
        """Call `predict`."""
        return self.estimator.predict(X)


class Rbm(EstimatorContender):
    """scikit-learn's restricted Boltzmann machine, another one-layer feature learner.

    It has its own objective and its own gradient steps.
    """

    n_epochs_parameter = "n_iter"
    how = "`fit` with `n_iter`, plain gradient steps"
    loss = "–"
    reconstructs = False
    objective = "likelihood (persistent chains)"
    compared_with = "plain, sigmoid code"

    def build(self, n_features, n_hidden, learning_rate, seed):
        """Make the estimator."""
        self.estimator = BernoulliRBM(
            n_hidden,
            learning_rate=learning_rate,
            batch_size=self.batch_size,
            random_state=seed,
        )


def layers(n_features, n_hidden):
    """Make torch's layers of an untied autoencoder with a sigmoid code."""
    encoder = nn.Sequential(nn.Linear(n_features, n_hidden), nn.Sigmoid())
    return encoder, nn.Linear(n_hidden, n_features)


OURS = [
    Skcae("skcae", tied=True),
    Skcae("skcae-untied"),
    Skcae("skcae-linear", tied=True, activation=None),
    Skcae("skcae-linear-untied", activation=None),
    Skcae("skcae-contractive", tied=True, penalty=PENALTY),
    Skcae("skcae-contractive-untied", penalty=PENALTY),
    Skcae("skcae-contractive-linear", tied=True, activation=None, penalty=PENALTY),
    Skcae("skcae-contractive-linear-untied", activation=None, penalty=PENALTY),
]
PEERS = [
    Mlp("MLPRegressor"),
    Skorch("skorch"),
    Pyautoencoder("pyautoencoder"),
    PyautoencoderFused("pyautoencoder-fused"),
    Autoencoders("autoencoders-AE"),
    Autoencoders("autoencoders-AE-mlp", activation=None),
    Encdr("encdr", activation=None),
    Autoencoders("autoencoders-CAE", penalty=PENALTY),
    Autoencoders("autoencoders-CAE-mlp", activation=None, penalty=PENALTY),
    Rbm("BernoulliRBM", tied=True),
]
CONTENDERS = {contender.name: contender for contender in [*OURS, *PEERS]}


def features(
    contender,
    X_train,
    X,
    *,
    n_hidden=1000,
    learning_rate=LEARNING_RATE,
    batch_size=BATCH_SIZE,
    epochs=20,
    seed=0,
):
    """Train a contender and return its codes of the training rows and of X."""
    n_features = X_train.shape[1]
    model = contender.make(n_features, n_hidden, learning_rate, batch_size, seed)
    model.fit_epochs(X_train, epochs)
    return model.encode(X_train), model.encode(X)


def installed(names):
    """Import the packages of contenders, and leave out those that are missing."""
    found = {}
    for name in names:
        contender = CONTENDERS[name]
        module = {"scikit-learn": "sklearn"}.get(contender.package, contender.package)
        try:
            importlib.import_module(module)
        except ImportError as error:
            say(f"{name} is left out: {error}")
        else:
            found[name] = contender
    return found


# ---- the time of an epoch -------------------------------------------------------


def per_epoch(contenders, X, args):
    """Time an epoch of each with equal settings, and make a table of it."""
    runs, lengths = {}, {}
    for name, contender in contenders.items():
        # The difference of two lengths has no setting up in it.
        lengths[name] = STEPS if contender.timed_by_step else (1, 1 + args.epochs)
        for length in lengths[name]:
            runs[name, length] = fresh_fit(contender, X, length, args.n_hidden)
    times = in_turn(runs, rounds=args.rounds, seconds=0.0)
    seconds = {}
    for name, (short, long) in lengths.items():
        unit = (times[name, long] - times[name, short]) / (long - short)
        steps = math.ceil(len(X) / BATCH_SIZE)
        seconds[name] = unit * steps if contenders[name].timed_by_step else unit
    rows = [
        [
            name + (" ¹" if contender.timed_by_step else ""),
            tied(contender),
            contender.objective,
            f"{seconds[name]:.3g}",
            *ratios(contender, seconds[name], seconds),
        ]
        for name, contender in contenders.items()
    ]
    header = ["contender", "weights", "objective", "s per epoch", *RATIOS]
    return table(header, rows)


def fresh_fit(contender, X, length, n_hidden):
    """Make a function that fits a fresh model for some epochs, or some steps."""
    rows, epochs = X, length
    if contender.timed_by_step:
        rows, epochs = X[: length * BATCH_SIZE], 1

    def fit():
        model = contender.make(X.shape[1], n_hidden, LEARNING_RATE, BATCH_SIZE, 0)
        model.fit_epochs(rows, epochs)

    return fit


# ---- the time to the same error -------------------------------------------------


@dataclass
class Outcome:
    """Where a training stopped."""

    setting: tuple
    epochs: int
    seconds: float
    error: float


def to_same_error(contenders, X, args):
    """Time the way of each to the same error, each at its best settings."""
    contenders = {
        name: contender
        for name, contender in contenders.items()
        if contender.reconstructs and not contender.penalty
    }
    target = args.target or find_target(X, args)
    say(f"target {target:g}")
    best = {
        name: best_setting(contender, X, target, args)
        for name, contender in contenders.items()
    }
    middle = {**best, **repeat_best(contenders, best, X, target, args)}
    reached = {name: o.seconds for name, o in middle.items() if o.error <= target}
    rows = [
        [
            name,
            tied(contender),
            contender.objective,
            *in_words(middle[name], target),
            *ratios(contender, reached.get(name), reached),
        ]
        for name, contender in contenders.items()
    ]
    header = ["contender", "weights", "objective", "best setting", "epochs", "seconds"]
    return target, table([*header, *RATIOS], rows)


def find_target(X, args):
    """Return the least error of MLPRegressor after 20 epochs, rounded up."""
    errors = [
        run(CONTENDERS["MLPRegressor"], X, setting, TARGET_EPOCHS, args).error
        for setting in settings()
    ]
    return round_up(min(errors))


def best_setting(contender, X, target, args):
    """Return the outcome of the setting that is first at the target.

    A setting is given up when it has taken longer than the best before it. If none
    gets there, it is the outcome of the least error.
    """
    outcomes, limit = [], math.inf
    for setting in settings():
        outcome = run(
            contender, X, setting, args.most_epochs, args, target=target, limit=limit
        )
        if outcome.error <= target:
            limit = min(limit, outcome.seconds)
        outcomes.append(outcome)
    reached = [outcome for outcome in outcomes if outcome.error <= target]
    if reached:
        best = min(reached, key=lambda outcome: outcome.seconds)
    else:
        best = min(outcomes, key=lambda outcome: outcome.error)
    say(f"{contender.name}: {' | '.join(in_words(best, target))}")
    return best


def repeat_best(contenders, best, X, target, args):
    """Run all at their best settings in turn, and return the middle run of each.

    Each round starts from other weights. A run may take twice the epochs that the
    choice of the setting allowed.
    """
    outcomes = {name: [] for name in contenders if best[name].error <= target}
    for seed in range(1, args.repeats + 1):
        for name, mine in outcomes.items():
            mine.append(
                run(
                    contenders[name],
                    X,
                    best[name].setting,
                    2 * args.most_epochs,
                    args,
                    target=target,
                    seed=seed,
                )
            )
    for mine in outcomes.values():
        mine.sort(key=lambda outcome: (outcome.error > target, outcome.seconds))
    return {name: mine[len(mine) // 2] for name, mine in outcomes.items() if mine}


def run(
    contender, X, setting, n_epochs, args, *, target=-math.inf, limit=math.inf, seed=0
):
    """Train until the target is reached, or the limit of seconds, or of epochs."""
    clock, errors = Stopwatch(), []

    def enough(model):
        errors.append(mean_error(X, model.reconstruct(X)))
        return errors[-1] <= target or clock.seconds > limit

    clock.start()
    model = contender.make(X.shape[1], args.n_hidden, *setting, seed)
    clock.stop()
    model.train(X, n_epochs, clock, enough)
    return Outcome(setting, len(errors), clock.seconds, errors[-1])


def settings():
    """List what each may choose from, learning rate and batch size, quickest first."""
    sizes = sorted(BATCH_SIZES, reverse=True)
    return [(rate, size) for size in sizes for rate in LEARNING_RATES]


def mean_error(X, reconstruction):
    """Return the mean over rows of the squared error, summed over features."""
    return float(np.square(X - reconstruction).sum(axis=1, dtype=np.float64).mean())


def round_up(value):
    """Round up to two digits."""
    unit = 10.0 ** (math.floor(math.log10(value)) - 1)
    return float(f"{math.ceil(value / unit) * unit:.2g}")


# ---- the report -----------------------------------------------------------------

RATIOS = ["to skcae tied", "to skcae untied"]


def ratios(contender, value, seconds):
    """Divide by the seconds of ours with the same objective, tied and untied."""
    cells = []
    for is_tied in (True, False):
        ours = [
            seconds[other.name]
            for other in OURS
            if other.objective == contender.compared_with
            and other.tied == is_tied
            and other.name in seconds
        ]
        cells.append(f"{value / ours[0]:.2f}" if ours and value else "–")
    return cells


def tied(contender):
    """Say how a contender's decoder has its weights."""
    return "tied" if contender.tied else "untied"


def in_words(outcome, target):
    """Write the cells of an outcome: setting, epochs and seconds."""
    rate, batch_size = outcome.setting
    setting = f"{rate:g}, {batch_size}"
    if outcome.error > target:
        return setting, f"not in {outcome.epochs}: {outcome.error:.3g}", "–"
    return setting, str(outcome.epochs), f"{outcome.seconds:.3g}"


def how_table(contenders):
    """List how each contender is run."""
    rows = []
    for name, contender in contenders.items():
        if contender.package != "skcae" or name == "skcae":
            package = f"{contender.package} {version(contender.package)}"
            rows.append([name, package, contender.how, contender.loss])
    header = ["contender", "package", "how", "its loss over features"]
    return table(header, rows)


def version(package):
    """Return the version of a package; this one may run uninstalled."""
    if package == "skcae":
        return skcae.__version__
    return importlib.metadata.version(package)


def epoch_text(contenders, X, args):
    """Write the section on the time of an epoch."""
    text = (
        "## A. Time of an epoch\n\n"
        f"Adam, learning rate {LEARNING_RATE:g}, batches of {BATCH_SIZE}. The median "
        f"time of fresh fits of {1 + args.epochs} epochs less that of 1 epoch, per "
        f"epoch, over {args.rounds} rounds in which every contender has its turn. "
        "Ratios are to ours with the same objective; that of the RBM, which has its "
        "own objective and optimiser, is to our plain autoencoder.\n\n"
        f"{per_epoch(contenders, X, args)}"
    )
    if any(contender.timed_by_step for contender in contenders.values()):
        text += (
            f"\n\n¹ Time of a step, from fresh epochs of {STEPS[1]} steps and of "
            f"{STEPS[0]}, times {math.ceil(len(X) / BATCH_SIZE)}: it calls autograd "
            "once for each hidden unit."
        )
    return text


def error_text(contenders, X, args):
    """Write the section on the time to the same error."""
    target, rows = to_same_error(contenders, X, args)
    origin = (
        "as given"
        if args.target
        else f"what MLPRegressor reaches in {TARGET_EPOCHS} epochs at its best"
    )
    return (
        "## B. Time to the same error\n\n"
        f"Time until the squared error of the training rows, summed over features, is "
        f"{target:g} or less ({origin}). It is looked at after each epoch with the "
        "clock stopped. Each contender has the setting, learning rate and batch size, "
        f"that is fastest of learning rates {', '.join(map(str, LEARNING_RATES))} and "
        f"batches of {', '.join(map(str, BATCH_SIZES))}, in at most "
        f"{args.most_epochs} epochs. Epochs and seconds are then those of the middle "
        f"one of {args.repeats} runs from other initial weights, in turn.\n\n{rows}"
    )


def load(args):
    """Load the rows, scaled to [0, 1]."""
    if args.data_file is None:
        X = load_digits().data / 16
    else:
        with np.load(args.data_file) as data:
            X = data["x_train"][: args.n_train]
        X = X.reshape(len(X), -1) / 255
    return np.ascontiguousarray(X[: args.n_train], dtype=np.float32)


def say(line):
    """Show how far it is."""
    print(line, file=sys.stderr, flush=True)


def calm():
    """Keep to one thread, and to the report."""
    torch.set_num_threads(1)
    threadpool_limits(1)
    warnings.simplefilter("ignore", ConvergenceWarning)
    warnings.filterwarnings("ignore", module="lightning")
    for name in ("lightning.pytorch", "lightning.fabric", "lightning"):
        logging.getLogger(name).setLevel(logging.ERROR)


def parse(arguments):
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-file", type=Path, help="npz with x_train; or digits")
    parser.add_argument("--n-train", type=int, default=10_000, help="first rows")
    parser.add_argument("--n-hidden", type=int, help="hidden units")
    parser.add_argument("--parts", nargs="+", choices="AB", default=["A", "B"])
    parser.add_argument(
        "--contenders", nargs="+", choices=CONTENDERS, default=list(CONTENDERS)
    )
    parser.add_argument("--epochs", type=int, help="A: epochs timed in a fit")
    parser.add_argument("--rounds", type=int, default=5, help="A: rounds")
    parser.add_argument("--target", type=float, help="B: error to reach")
    parser.add_argument("--most-epochs", type=int, default=40, help="B: epochs")
    parser.add_argument("--repeats", type=int, default=3, help="B: rounds")
    args = parser.parse_args(arguments)
    is_small = args.data_file is None
    args.n_hidden = args.n_hidden or (256 if is_small else 1000)
    args.epochs = args.epochs or (10 if is_small else 2)
    return args


def main(arguments=None):
    """Measure and report."""
    args = parse(arguments)
    X = load(args)
    contenders = installed(args.contenders)
    calm()
    setting = (
        f"{len(X)} rows of {X.shape[1]} features, float32, {args.n_hidden} hidden "
        "units, one thread."
    )
    how = how_table(contenders)
    given = shlex.join(sys.argv[1:] if arguments is None else arguments)
    command = f"python benchmarks/speed/peers.py {given}".strip()
    if "A" in args.parts:
        text = "\n\n".join([setting, how, epoch_text(contenders, X, args)])
        write("peers_epoch", "Peers: time of an epoch", text, command)
    if "B" in args.parts:
        text = "\n\n".join([setting, how, error_text(contenders, X, args)])
        write("peers_error", "Peers: time to the same error", text, command)


if __name__ == "__main__":
    main()
