"""What the tests of stacks share."""

import logging

import numpy as np
from numpy.testing import assert_array_equal

from skcae import ContractiveAutoencoder, StackedCAE

# Codes of so few epochs bear the default λ if biases start at zero.
SMALL = {
    "bias_spread": 0,
    "learning_rate": 0.01,
    "max_iter": 12,
    "tol": 0.5,
    "random_state": 0,
}


def small_stack(sizes=(6, 4), **parameters):
    return StackedCAE(sizes, **{**SMALL, **parameters})


def small_layer(size=6, **parameters):
    return ContractiveAutoencoder(size, **{**SMALL, **parameters})


def fitted_state(estimator):
    return {name: v for name, v in vars(estimator).items() if name.endswith("_")}


def assert_same_layer(one, other):
    """Bit for bit the same model, from which training goes on alike."""
    states = [
        {
            **fitted_state(layer),
            **layer._training_state["solver_state"],
            "solver": layer._training_state["solver"],
            "generator": layer._training_state["generator"],
            "activation": layer._fitted_activation,
            "loss": layer._fitted_loss,
        }
        for layer in (one, other)
    ]
    assert states[0].keys() == states[1].keys()
    for name, value in states[0].items():
        assert_array_equal(value, states[1][name], err_msg=name, strict=True)


def assert_same_stack(one, other):
    assert fitted_state(one).keys() == fitted_state(other).keys()
    assert one.n_iter_ == other.n_iter_
    for lower, upper in zip(one.estimators_, other.estimators_, strict=True):
        assert_same_layer(lower, upper)


def fit_by_hand(sizes, X, strengths=None, X_val=None, **how):
    """Fit single estimators on each other's codes, with the seeds of a stack."""
    strengths = strengths or [{}] * len(sizes)
    names = ("sample_weight", "sample_weight_val")
    given = {name: how.pop(name) for name in names if name in how}
    stream = np.random.RandomState(0)
    layers = []
    for size, strength in zip(sizes, strengths, strict=True):
        drawn = int(stream.randint(np.iinfo(np.int32).max))
        # The first layer draws from the seed what all the others get of it.
        seed = drawn if layers else 0
        layer = small_layer(size, **{**how, **strength, "random_state": seed})
        if X_val is not None:
            given["X_val"] = X_val
        layers.append(layer.fit(X, **given))
        X = layer.transform(X)
        X_val = None if X_val is None else layer.transform(X_val)
    return layers


# The huge penalty lets the second layer diverge, and the first one not.
DIVERGENT_ABOVE = {
    "solver": "sgd",
    "learning_rate": 1e-3,
    "batch_size": 1,
    "jacobian_penalty": (0.0, 1e30),
}


class Watcher:
    """Notes where each epoch of each layer ends; may interrupt there, or stop."""

    max_propagation_depth = None

    def __init__(self, interrupt_at=None, stop_at=None):
        self.interrupt_at = interrupt_at
        self.stop_at = stop_at
        self.ended, self.labels = [], []
        self.is_set_up = False

    def setup(self, estimator, context):
        self.is_set_up = True

    def teardown(self, estimator, context):
        self.is_set_up = False

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context, *, y):
        assert self.is_set_up
        if context.task_name != "epoch":
            return False
        assert type(estimator) is ContractiveAutoencoder
        layer = context.parent
        assert (layer.source_estimator_name, layer.source_task_name) == (
            "StackedCAE",
            "layer",
        )
        place = (layer.task_id, context.task_id)
        self.ended.append(place)
        self.labels.append(y)
        if place == self.interrupt_at:
            raise KeyboardInterrupt
        return place == self.stop_at


def assert_no_trace(stack):
    """The fit has left nothing of callbacks on the stack and its layers."""
    for estimator in (stack, *stack.estimators_):
        for name in vars(estimator):
            assert "callback" not in name, name


def shown(estimator, X, capsys):
    """Fit where nobody has set up logging, as pytest does, and return what shows."""
    logger = logging.getLogger("skcae")
    logger.propagate = False
    try:
        estimator.fit(X)
    finally:
        logger.propagate = True
    return capsys.readouterr()
