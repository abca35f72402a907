"""Fitting contractive autoencoders one on top of the other."""

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from functools import reduce
from itertools import repeat
from numbers import Integral
from typing import Any, Self

from sklearn.base import _fit_context
from sklearn.callback import CallbackSupportMixin
from sklearn.callback._callback_context import CallbackContext
from sklearn.utils import check_random_state

from skcae._core.data.arrays import is_on_disk
from skcae._core.training.ranks import Ranks, together
from skcae._estimators.contractive import ContractiveAutoencoder
from skcae._fit.agreement import check_agreement
from skcae._fit.data import (
    CheckedData,
    check_codes_can_be_reconstructed,
    check_held_out_arguments,
    check_held_out_data,
    check_same_stack,
    check_stack,
)
from skcae._fit.epochs import described_call, draw_seed
from skcae._fit.parameters import ContractiveParameters
from skcae._fit.progress import epoch_progress
from skcae._fit.snapshot import adopt
from skcae._fit.streams import Stream, check_can_hold_out, check_training_data


class StackFitMixin(ContractiveParameters, CallbackSupportMixin):
    """`fit` of a stack: from parameters and data to fitted layers."""

    # In the midst of a fit, as callbacks see the stack: how many layers are done, and
    # those that are to come and go on.
    _training_state: dict[str, Any] | None = None

    def _layers(self, goes_on: bool) -> list[ContractiveAutoencoder]:
        """Make the layers to be fitted, and refuse what cannot be before any is."""
        per_layer = check_stack(
            self.hidden_layer_sizes,
            jacobian_penalty=self.jacobian_penalty,
            hessian_penalty=self.hessian_penalty,
        )
        check_codes_can_be_reconstructed(len(per_layer), self.activation, self.loss)
        shared: dict[str, Any] = {
            f.name: getattr(self, f.name) for f in fields(ContractiveParameters)
        }
        layers = [
            ContractiveAutoencoder(size, **strengths, **shared)
            for size, strengths in per_layer
        ]
        for layer in layers:
            layer._objective()
        return going_on(self.estimators_, layers) if goes_on else layers

    def _seeds(self, n_begun: int) -> Iterator[Any]:
        """Give each layer's `random_state`, to be asked for when its turn comes.

        The first layer takes ours, and draws from it what a single estimator would. The
        layers that a fit had begun before it was cut off need none any more.
        """
        if n_begun == 0:
            yield self.random_state
        if self.random_state is None:
            yield from repeat(None)
        stream = check_random_state(self.random_state)
        if isinstance(self.random_state, Integral):
            for _ in range(max(1, n_begun)):  # what was drawn before
                draw_seed(stream)
        while True:
            yield draw_seed(stream)

    def _fit(
        self,
        layers: list[ContractiveAutoencoder],
        X: Any,
        y: Any,
        sample_weight: Any,
        X_val: Any,
        sample_weight_val: Any,
        ranks: Ranks,
        *,
        goes_on: bool,
        n_done: int = 0,
    ) -> Self:
        """Fit these layers but those that are done, and become the stack."""
        data = check_training_data(
            self, X, sample_weight, loss=self.loss, goes_on=goes_on
        )
        check_held_out_arguments(self.early_stopping, X_val, sample_weight_val)
        held_out = None
        if X_val is not None:
            held_out = check_held_out_data(self, data, X_val, sample_weight_val)
        elif self.early_stopping:
            check_can_hold_out(data.X)
        check_agreement(ranks, self, data, X_val)
        if isinstance(data.X, Stream):
            data = replace(data, X=CodeStream(data.X))
        call = described_call(self, X, y, sample_weight)
        with epoch_progress(self, ranks.rank) as log:
            context = self._init_callback_context(max_subtasks=len(layers))
            context.call_on_fit_task_begin(**call)
            how = call, context, log, ranks
            self._fit_layers(layers, n_done, data, held_out, *how)
            context.call_on_fit_task_end(**call, reconstruction_attributes={})
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def _resume(
        self, X: Any, y: Any, sample_weight: Any, X_val: Any, weights_val: Any
    ) -> Self:
        """Take up the fit that this stack was seen in the midst of, if it was."""
        if self._training_state is None:
            return self
        n_done, above = self._training_state["n_done"], self._training_state["above"]
        begun = self.estimators_
        with together(self.data_parallel) as ranks:
            layers = going_on([*begun, *above], self._layers(goes_on=False))
            layers[: len(begun)] = copy.deepcopy(begun)
            how = X, y, sample_weight, X_val, weights_val, ranks
            return self._fit(layers, *how, goes_on=True, n_done=n_done)

    def _fit_layers(
        self,
        layers: list[ContractiveAutoencoder],
        n_done: int,
        data: CheckedData,
        *how: Any,
    ) -> None:
        """Fit each layer on the codes of those below it, and become the stack.

        After an interrupt too, of the layers that are done; those above them are then
        still the layers of the fit that this one went on from.
        """
        fitted: list[ContractiveAutoencoder] = []

        def become() -> None:
            if fitted:
                above = fitted_ones(layers[len(fitted) :])
                adopt(self, stack_attributes([*fitted, *above], data.columns))

        try:
            self._fit_each(layers, n_done, fitted, data, *how)
        except Exception:
            raise
        except BaseException:
            become()
            raise
        become()

    def _fit_each(
        self,
        layers: list[ContractiveAutoencoder],
        n_done: int,
        fitted: list[ContractiveAutoencoder],
        data: CheckedData,
        held_out: CheckedData | None,
        call: dict[str, Any],
        context: CallbackContext,
        log: Callable[..., None],
        ranks: Ranks,
    ) -> None:
        """Add one layer after the other to those that are fitted."""
        n_begun = sum(layer._progress is not None for layer in layers) + n_done
        seeds = self._seeds(n_begun)
        for number, layer in enumerate(layers):
            if fitted:
                # The codes below those of the last layer are needed no more.
                data, held_out = encoded(fitted[-1], data, held_out)
            task = context.subcontext(task_name="layer")
            if number < n_done:
                fitted.append(layer)
                continue
            if number >= n_begun:
                layer.set_params(random_state=next(seeds))
            # One that is taken up may have come to its end before.
            n_before = getattr(layer, "n_iter_", 0) - (number < n_begun)
            log("layer %d/%d", number + 1, len(layers))
            present = Present(self, fitted, layers[number + 1 :], data.columns)
            callbacks = layer_callbacks(self, present.with_layer)
            try:
                with seen_by(callbacks, layer, task, call):
                    name = f"Layer {number + 1} of {len(layers)}"
                    fit_layer(name, layer, data, held_out, call["y"])
            finally:
                if getattr(layer, "n_iter_", 0) > n_before:
                    fitted.append(layer)
            stop = task.call_on_fit_task_end(
                **call, reconstruction_attributes=present.attributes
            )
            if any(ranks.gather(bool(stop))):
                break
        ranks.end()


def going_on(
    fitted: list[ContractiveAutoencoder], fresh: list[ContractiveAutoencoder]
) -> list[ContractiveAutoencoder]:
    """Return copies of the fitted layers, with the present parameters.

    After an interrupt there are fewer of them; those that are missing stay fresh.
    """
    sizes = [layer.components_.shape[0] for layer in fitted]
    check_same_stack(sizes, [layer.n_components for layer in fresh])
    copies = copy.deepcopy(fitted)
    for layer, now in zip(copies, fresh, strict=False):
        layer.set_params(**now.get_params())
        layer._check_goes_on()
        layer._leave_progress()
    return [*copies, *fresh[len(copies) :]]


@dataclass(frozen=True)
class Present:
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
    """

    stack: Any
    fitted: list[ContractiveAutoencoder]
    above: list[ContractiveAutoencoder]
    columns: dict[str, Any]

    def attributes(self) -> dict[str, Any]:
        """Describe the stack of the layers that are done, for callbacks to keep."""
        return self._attributes(copy.deepcopy(self.fitted), len(self.fitted))

    def with_layer(self, layer: ContractiveAutoencoder) -> Any:
        """Return the stack with a further layer that is not done."""
        seen = copy.copy(self.stack)
        adopt(seen, self._attributes([*self.fitted, layer], len(self.fitted)))
        return seen

    def _attributes(
        self, layers: list[ContractiveAutoencoder], n_done: int
    ) -> dict[str, Any]:
        state = {"n_done": n_done, "above": fitted_ones(self.above)}
        attributes = stack_attributes(layers, self.columns)
        return {**attributes, "_training_state": state}


def layer_callbacks(
    stack: Any, in_stack: Callable[[ContractiveAutoencoder], Any]
) -> list[Any]:
    """Return what the stack's callbacks want to see the epochs of a layer with."""
    return [
        callback.for_layer(in_stack)
        for callback in getattr(stack, "_skl_callbacks", [])
        if hasattr(callback, "for_layer")
    ]


@contextmanager
def seen_by(
    callbacks: list[Any],
    layer: ContractiveAutoencoder,
    task: CallbackContext,
    call: dict[str, Any],
) -> Iterator[None]:
    """Let callbacks, and those of the stack that reach so far, see a layer's fit."""
    layer.set_callbacks(*callbacks)
    try:
        with task.propagate_callback_context(layer):
            task.call_on_fit_task_begin(**call)
            yield
    finally:
        layer.set_callbacks()


def fitted_ones(layers: list[ContractiveAutoencoder]) -> list[ContractiveAutoencoder]:
    """Return the layers that are fitted."""
    return [layer for layer in layers if hasattr(layer, "components_")]


def fit_layer(
    name: str,
    layer: ContractiveAutoencoder,
    data: CheckedData,
    held_out: CheckedData | None,
    y: Any,
) -> None:
    """Fit one layer on the codes of those below it; an error names it."""
    X_val = weights_val = None
    if held_out is not None:
        X_val, weights_val = held_out.X, held_out.sample_weight
    try:
        if layer._progress is None:
            how = {"X_val": X_val, "sample_weight_val": weights_val}
            layer.fit(data.X, y, data.sample_weight, **how)
        else:
            layer._resume(data.X, y, data.sample_weight, X_val, weights_val)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def encoded(
    layer: ContractiveAutoencoder, data: CheckedData, held_out: CheckedData | None
) -> tuple[CheckedData, CheckedData | None]:
    """Return the codes that a layer gives to the data, and to the held-out data."""
    codes = replace(data, X=codes_of(layer, data.X))
    if held_out is None:
        return codes, None
    return codes, replace(held_out, X=codes_of(layer, held_out.X))


def codes_of(layer: ContractiveAutoencoder, X: Any) -> Any:
    """Encode X, to where it is: in memory, on a disk, or nowhere but in batches."""
    if isinstance(X, CodeStream):
        return CodeStream(X.batches, (*X.layers, layer))
    return layer._codes(X, to_disk=is_on_disk(X))


@dataclass(frozen=True)
class CodeStream:
    """The codes that layers give to batches, computed when they are asked for."""

    batches: Stream
    layers: tuple[ContractiveAutoencoder, ...] = ()

    def __iter__(self) -> Iterator[Any]:
        for batch in self.batches:
            yield encode(self.layers, batch)


def stack_attributes(
    layers: list[ContractiveAutoencoder], columns: dict[str, Any]
) -> dict[str, Any]:
    """Return the fitted attributes of a stack of these layers."""
    return {
        "feature_names_in_": None,
        "_training_state": None,
        **columns,
        "estimators_": list(layers),
        "n_iter_": sum(layer.n_iter_ for layer in layers),
    }


def encode(layers: Sequence[ContractiveAutoencoder], X: Any) -> Any:
    """Encode by all layers, from the input up."""
    return reduce(lambda codes, layer: layer._codes(codes), layers, X)


def decode(layers: Sequence[ContractiveAutoencoder], H: Any) -> Any:
    """Decode by all layers, from the last down."""
    return reduce(
        lambda codes, layer: layer.inverse_transform(codes), reversed(layers), H
    )
