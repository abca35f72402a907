"""One fit of a stack: contractive autoencoders one on top of the other."""

import copy
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import reduce
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from skcae._core.data.arrays import is_on_disk
from skcae._core.data.modes import plainly
from skcae._core.training.ranks import ALONE, Ranks
from skcae._fit.agreement import check_agreement
from skcae._fit.attributes import adopt, check_continues, forget_progress
from skcae._fit.data import CheckedData, FitData, draw_seed
from skcae._fit.epochs import Watch, watched
from skcae._fit.held_out import (
    check_can_hold_out,
    check_held_out_arguments,
    check_held_out_data,
)
from skcae._fit.streams import Stream, check_training_data
from skcae.activations import ACTIVATIONS
from skcae.losses import LOSSES


@dataclass(eq=False)
class StackFit:
    """One fit of a stack.

    Parameters
    ----------
    stack : StackedCAE
        Whose fit it is.
    layers : list of ContractiveAutoencoder
        Those to be fitted, from the input up; some may be done already.
    given : FitData
        What `fit` was called with.
    ranks : Ranks
        Those who train together.
    continues : bool
        Whether the data must have the columns of an earlier fit.
    n_done : int
        How many layers are done.
    seed : int or None
        What the fit has drawn if the stack has no `random_state`, once it has.

    Attributes
    ----------
    data, held_out : CheckedData
        The codes that the next layer is trained on, and those held out, if any.
    fitted : list of ContractiveAutoencoder
        The layers that are fitted.
    """

    stack: Any
    layers: list[Any]
    given: FitData
    ranks: Ranks
    continues: bool = field(kw_only=True)
    n_done: int = field(default=0, kw_only=True)
    seed: int | None = field(default=None, kw_only=True)
    data: CheckedData = field(init=False)
    held_out: CheckedData | None = field(default=None, init=False)
    fitted: list[Any] = field(default_factory=list, init=False)

    @plainly()
    def run(self) -> None:
        """Fit the layers that are not done, and make the stack that of all.

        After an interrupt too, of the layers that are done; those above them are then
        still the layers of the fit that this one went on from.
        """
        self._check_data()
        rank = self.ranks.rank
        with watched(self.stack, self.given, len(self.layers), rank) as watch:
            try:
                self._fit_each(watch)
            except Exception:
                raise
            except BaseException:
                self._become()
                raise
            self._become()

    def _check_data(self) -> None:
        """Validate the data; what comes in batches is encoded as it is read."""
        stack, given = self.stack, self.given
        self.data = check_training_data(
            stack,
            given.X,
            given.sample_weight,
            loss=stack.loss,
            continues=self.continues,
        )
        check_held_out_arguments(
            stack.early_stopping, given.X_val, given.sample_weight_val
        )
        if given.X_val is not None:
            self.held_out = check_held_out_data(
                stack, self.data, given.X_val, given.sample_weight_val
            )
        elif stack.early_stopping:
            check_can_hold_out(self.data.X)
        if self.ranks is not ALONE:
            check_agreement(self.ranks, stack, self.data, given.X_val)
        if isinstance(self.data.X, Stream):
            self.data = replace(self.data, X=CodeStream(self.data.X))

    def _fit_each(self, watch: Watch) -> None:
        """Add one layer after the other to those that are fitted."""
        layers, fitted = self.layers, self.fitted
        n_begun = self.n_done + sum(layer._progress is not None for layer in layers)
        if self.stack.random_state is None and self.seed is None:
            self.seed = draw_seed(None)
        seeds = seeds_of(self.stack.random_state, self.seed, n_begun)
        for number, layer in enumerate(layers):
            if fitted:
                # The codes below those of the last layer are needed no more.
                self._encode_by(fitted[-1])
            task = watch.subtask("layer")
            if number < self.n_done:
                fitted.append(layer)
                continue
            if number >= n_begun:
                layer.set_params(random_state=next(seeds))
            watch.log("layer %d/%d", number + 1, len(layers))
            above = layers[number + 1 :]
            snapshot = StackSnapshot(
                self.stack, fitted, above, self.data.columns, self.seed
            )
            self._fit_one(layer, task, snapshot, is_begun=number < n_begun)
            stop = task.end(snapshot.attributes)
            if any(self.ranks.gather(stop)):
                break
        self.ranks.end()

    def _fit_one(
        self, layer: Any, task: Watch, snapshot: "StackSnapshot", *, is_begun: bool
    ) -> None:
        """Fit one layer on the codes of those below it."""
        # One that is taken up may have come to its end before.
        n_before = getattr(layer, "n_iter_", 0) - is_begun
        others = {"sample_weight": self.data.sample_weight}
        if self.held_out is not None:
            others["X_val"] = self.held_out.X
            others["sample_weight_val"] = self.held_out.sample_weight
        fit = layer._fit_on_codes if self.fitted else layer.fit
        if layer._progress is not None:
            fit = layer._resume
        try:
            with seen_by(snapshot, layer, task):
                fit(self.data.X, self.given.y, **others)
        except ValueError as error:
            name = f"Layer {len(self.fitted) + 1} of {len(self.layers)}"
            raise ValueError(f"{name}: {error}") from error
        finally:
            if getattr(layer, "n_iter_", 0) > n_before:
                self.fitted.append(layer)

    def _encode_by(self, layer: Any) -> None:
        """Put the codes that a layer gives to the data in its place."""
        self.data = replace(self.data, X=codes_of(layer, self.data.X))
        if self.held_out is not None:
            codes = codes_of(layer, self.held_out.X)
            self.held_out = replace(self.held_out, X=codes)

    def _become(self) -> None:
        """Make the stack that of the fitted layers, if there are any."""
        fitted = self.fitted
        if fitted:
            above = fitted_ones(self.layers[len(fitted) :])
            adopt(self.stack, stack_attributes([*fitted, *above], self.data.columns))


def seeds_of(random_state: Any, seed: int | None, n_begun: int) -> Iterator[Any]:
    """Give each layer's `random_state`, to be asked for when its turn comes.

    The first layer takes the stack's, or the seed in the place of none, and draws from
    it what a single estimator would. The layers that a fit had begun before it was cut
    off need none any more.
    """
    given = seed if random_state is None else random_state
    if n_begun == 0:
        yield given
    stream = check_random_state(given)
    if isinstance(given, Integral):
        for _ in range(max(1, n_begun)):  # what was drawn before
            draw_seed(stream)
    while True:
        yield draw_seed(stream)


def continued(fitted: list[Any], fresh: list[Any]) -> list[Any]:
    """Return copies of the fitted layers, with the parameters of the fresh ones.

    After an interrupt there are fewer of them; those that are missing stay fresh.
    """
    sizes = [layer.components_.shape[0] for layer in fitted]
    check_same_stack(sizes, [layer.n_components for layer in fresh])
    copies = copy.deepcopy(fitted)
    for layer, now in zip(copies, fresh, strict=False):
        layer.set_params(**now.get_params())
        check_continues(layer)
        forget_progress(layer)
    return [*copies, *fresh[len(copies) :]]


@dataclass(frozen=True)
class StackSnapshot:
    """A stack while one of its layers is fitted.

    Parameters
    ----------
    stack : StackedCAE
        Whose fit it is.
    fitted : list of ContractiveAutoencoder
        The layers that are done, to which the next is added when it is.
    above : list of ContractiveAutoencoder
        Those that are to come, some of them fitted if the stack goes on.
    columns : dict
        The fitted attributes that describe the columns.
    seed : int or None
        That of the fit, if the stack has no `random_state`.
    """

    stack: Any
    fitted: list[Any]
    above: list[Any]
    columns: dict[str, Any]
    seed: int | None

    def attributes(self) -> dict[str, Any]:
        """Describe the stack of the layers that are done, for callbacks to keep."""
        return self._attributes(copy.deepcopy(self.fitted), len(self.fitted))

    def with_layer(self, layer: Any) -> Any:
        """Return the stack with a further layer that is not done."""
        seen = copy.copy(self.stack)
        adopt(seen, self._attributes([*self.fitted, layer], len(self.fitted)))
        return seen

    def _attributes(self, layers: list[Any], n_done: int) -> dict[str, Any]:
        above = fitted_ones(self.above)
        state = {"n_done": n_done, "above": above, "seed": self.seed}
        attributes = stack_attributes(layers, self.columns)
        return {**attributes, "_training_state": state}


@contextmanager
def seen_by(snapshot: StackSnapshot, layer: Any, task: Watch) -> Iterator[None]:
    """Let the stack's callbacks, those for layers and those that reach so far, look on.

    Those for layers see the epochs with the stack that each makes.
    """
    for_layers = [
        callback.for_layer(snapshot.with_layer)
        for callback in getattr(snapshot.stack, "_skl_callbacks", [])
        if hasattr(callback, "for_layer")
    ]
    layer.set_callbacks(*for_layers)
    try:
        with task.context.propagate_callback_context(layer):
            task.begin()
            yield
    finally:
        layer.set_callbacks()


def fitted_ones(layers: list[Any]) -> list[Any]:
    """Return the layers that are fitted."""
    return [layer for layer in layers if hasattr(layer, "components_")]


def codes_of(layer: Any, X: Any) -> Any:
    """Encode X, to where it is: in memory, on a disk, or nowhere but in batches."""
    if isinstance(X, CodeStream):
        return CodeStream(X.batches, (*X.layers, layer))
    return layer._codes(X, to_disk=is_on_disk(X))


@dataclass(frozen=True)
class CodeStream:
    """The codes that layers give to batches, computed when they are asked for."""

    batches: Stream
    layers: tuple[Any, ...] = ()

    def __iter__(self) -> Iterator[Any]:
        for batch in self.batches:
            yield encode(self.layers, batch)


def stack_attributes(layers: list[Any], columns: dict[str, Any]) -> dict[str, Any]:
    """Return the fitted attributes of a stack of these layers."""
    return {
        "feature_names_in_": None,
        "_training_state": None,
        **columns,
        "estimators_": list(layers),
        "n_iter_": sum(layer.n_iter_ for layer in layers),
    }


def encode(layers: Sequence[Any], X: Any) -> Any:
    """Encode by all layers, from the input up."""
    return reduce(lambda codes, layer: layer._codes(codes), layers, X)


def decode(layers: Sequence[Any], H: Any) -> Any:
    """Decode by all layers, from the last down."""
    return reduce(
        lambda codes, layer: layer.inverse_transform(codes), reversed(layers), H
    )


# ---- what a stack may be --------------------------------------------------------


def check_stack(
    sizes: Sequence[int], **strengths: Any
) -> list[tuple[int, dict[str, Any]]]:
    """Return the size of each layer of a stack, and its strengths by name."""
    layers = list(sizes) if np.iterable(sizes) else []
    are_counts = all(isinstance(n, Integral) and n > 0 for n in layers)
    if not layers or not are_counts:
        raise ValueError(
            "hidden_layer_sizes must be a sequence of positive integers, one for each "
            f"layer from the input up, such as (1000, 1000), but it is {sizes!r}."
        )
    spread = {
        name: spread_over_layers(name, value, len(layers))
        for name, value in strengths.items()
    }
    return [
        (int(size), {name: values[k] for name, values in spread.items()})
        for k, size in enumerate(layers)
    ]


def spread_over_layers(name: str, value: Any, n_layers: int) -> list[float]:
    """Return one number for each layer."""
    values = list(value) if np.iterable(value) else [value] * n_layers
    are_strengths = all(
        isinstance(v, Real) and 0 <= float(v) < math.inf for v in values
    )
    if len(values) != n_layers or not are_strengths:
        raise ValueError(
            f"{name} must be one non-negative number, or one for each of the "
            f"{n_layers} layers, but it is {value!r}."
        )
    return [float(v) for v in values]


def check_same_stack(fitted: list[int], sizes: list[int]) -> None:
    """Refuse to go on from layers of other sizes."""
    if sizes[: len(fitted)] != fitted:
        raise ValueError(
            f"The fitted model has hidden_layer_sizes={tuple(fitted)}, but the "
            f"parameter is now {tuple(sizes)}: training cannot go on from it. Set it "
            "back, or fit anew with warm_start=False."
        )


def check_codes_can_be_reconstructed(n_layers: int, activation: str, loss: str) -> None:
    """Refuse a loss that the codes of a layer may be out of bounds for."""
    bounds, codes = LOSSES[loss].bounds, ACTIVATIONS[activation].bounds
    if n_layers == 1 or bounds is None:
        return
    if codes is None or codes[0] < bounds[0] or codes[1] > bounds[1]:
        raise ValueError(
            f"loss={loss!r} needs codes in [{bounds[0]:g}, {bounds[1]:g}] from the "
            f"second layer on, which activation={activation!r} does not give. Take "
            "activation='sigmoid', or loss='squared_error'."
        )
