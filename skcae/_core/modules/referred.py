"""The modules that an encoder refers to, and the modes and buffers that they have."""

import inspect
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from types import CodeType, FunctionType, ModuleType
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor, nn

from skcae._core.layers.module import same_numbers

Encoder = Callable[[Tensor], Tensor]
# Of how many things it is looked what they refer to, the nearest first, and of which
# containers: what an encoder needs is near, and an object may also hold its data.
MOST_THINGS, LONGEST = 2000, 100
# Their functions come to no module of the user's by a global name.
LIBRARIES = {"numpy", "torch", *sys.stdlib_module_names} - {"__main__"}


def modules_of(encoder: Any) -> list[nn.Module]:
    """Return the modules that an encoder is, or comes to through what it refers to.

    These are attributes, closures, defaults, globals, arguments and items, of what it
    refers to in its turn, too. Nothing is called for that.
    """
    found: dict[int, nn.Module] = {}
    waiting, seen = deque([encoder]), {id(encoder): encoder}
    while waiting and len(seen) < MOST_THINGS:
        thing = waiting.popleft()
        if isinstance(thing, nn.Module):
            found |= {id(module): module for module in thing.modules()}
            continue
        for part in referred_by(thing):
            if id(part) not in seen:
                seen[id(part)] = part
                waiting.append(part)
    return list(found.values())


def referred_by(thing: Any) -> Iterator[Any]:
    """Go through what a thing refers to."""
    if isinstance(thing, str | bytes | Tensor | ModuleType | type):
        return
    if inspect.ismethod(thing):
        yield from (thing.__self__, thing.__func__)
    elif isinstance(thing, partial):
        yield from (thing.func, thing.args, thing.keywords)
    elif isinstance(thing, dict):
        yield from thing.values() if len(thing) <= LONGEST else ()
    elif isinstance(thing, list | tuple | set | frozenset):
        yield from thing if len(thing) <= LONGEST else ()
    else:
        if isinstance(thing, FunctionType):
            yield from referred_by_function(thing)
        elif callable(thing):  # by what its class says
            yield type(thing).__call__
        yield from getattr(thing, "__dict__", {}).values()


def referred_by_function(function: FunctionType) -> Iterator[Any]:
    """Go through what a function finds in its closure, its defaults and by names."""
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # nothing yet
            continue
    yield function.__defaults__
    yield function.__kwdefaults__
    home = function.__globals__.get("__name__", "").partition(".")[0]
    names = () if home in LIBRARIES else names_in(function.__code__)
    for name in names:
        value = function.__globals__.get(name)
        yield value
        if isinstance(value, ModuleType):
            yield from (vars(value).get(name) for name in names)


def names_in(code: CodeType) -> set[str]:
    """Return the names that code has, and the functions that it makes."""
    inner = (part for part in code.co_consts if isinstance(part, CodeType))
    return set(code.co_names).union(*map(names_in, inner))


# ---- buffers, and modes -------------------------------------------------------------


class Held(NamedTuple):
    """A buffer, where it is, and what it was at one time."""

    place: dict[str, Tensor | None]
    name: str
    buffer: Tensor
    copy: Tensor
    version: int | None

    @classmethod
    def by(cls, modules: Iterable[nn.Module]) -> list[Self]:
        """Hold the buffers of modules."""
        return [
            cls(module._buffers, name, buffer, buffer.clone(), version_of(buffer))
            for module in modules
            for name, buffer in module._buffers.items()
            if buffer is not None
        ]

    @property
    def is_written(self) -> bool:
        """Whether anybody has written into the buffer since."""
        if version_of(self.buffer) != self.version:
            return True
        # Batch norms write without its being counted.
        return not same_numbers(self.buffer, self.copy)

    @property
    def then(self) -> Tensor:
        """The buffer as it was, itself if nobody has written into it."""
        return self.copy if self.is_written else self.buffer


def version_of(tensor: Tensor) -> int | None:
    """Return how often a tensor was written, None if that is not counted."""
    return None if tensor.is_inference() else tensor._version


@contextmanager
def restored_buffers(modules: Iterable[nn.Module]) -> Iterator[None]:
    """Give modules back the buffers that they had.

    Those that nobody has written are left alone: they may be a part of other graphs.
    """
    every = Held.by(modules)
    try:
        yield
    finally:
        for held in every:
            if held.is_written:
                held.buffer.copy_(held.copy)
            held.place[held.name] = held.buffer


class State:
    """The modes and buffers of modules at one time, to compute with them again."""

    def __init__(self, modules: Iterable[nn.Module]) -> None:
        self.modes = [(module, module.training) for module in modules]
        with torch.no_grad():
            self.buffers = Held.by(module for module, _ in self.modes)

    @contextmanager
    def again(self) -> Iterator[None]:
        """Give modules what they had then, and afterwards what they have now."""
        modes = [(module, module.training) for module, _ in self.modes]
        now = [held.place.get(held.name) for held in self.buffers]
        try:
            set_modes(self.modes)
            for held in self.buffers:
                held.place[held.name] = held.then
            yield
        finally:
            set_modes(modes)
            for held, buffer in zip(self.buffers, now, strict=True):
                held.place[held.name] = buffer


def set_modes(modes: list[tuple[nn.Module, bool]]) -> None:
    """Set whether modules are in training mode, each by itself."""
    for module, training in modes:
        module.training = training
