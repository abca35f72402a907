"""What a value is made of, whatever holds its parts."""

from collections import deque
from collections.abc import Callable
from copy import copy
from functools import partial
from types import FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

Change = Callable[[Any], Any]


def everything_in(value: Any) -> list[Any]:
    """Return a value, its parts, their parts and so on, each object once."""
    return _reached(value, lambda part: [*_contents(part), *_attributes(part).values()])


def contents_of(value: Any) -> list[Any]:
    """Return a value, and what is in it as far as it is containers."""
    return _reached(value, _contents)


def _reached(value: Any, parts: Callable[[Any], list[Any]]) -> list[Any]:
    """Return a value, its parts, their parts and so on, each object once."""
    found: dict[int, Any] = {}
    waiting = [value]
    while waiting:
        part = waiting.pop()
        if id(part) not in found:
            found[id(part)] = part
            waiting += parts(part)
    return [*found.values()]


def with_parts(value: Any, change: Change) -> Any:
    """Return a value made of what `change` makes of its parts.

    It is the value itself where no part is another one.
    """
    contents, attributes = _contents(value), _attributes(value)
    new_contents = [change(part) for part in contents]
    new_attributes = {name: change(part) for name, part in attributes.items()}
    before = [*contents, *attributes.values()]
    after = [*new_contents, *new_attributes.values()]
    if all(part is other for part, other in zip(before, after, strict=True)):
        return value
    made = _made_of(value, new_contents)
    if new_attributes:
        vars(made).update(new_attributes)
    return made


def _contents(value: Any) -> list[Any]:
    """Return the parts of a container, of an array of objects or a bound function."""
    if isinstance(value, dict):
        return [*value.keys(), *value.values()]
    if isinstance(value, (list, tuple, set, frozenset, deque)):
        return [*value]
    if isinstance(value, np.ndarray) and value.dtype == object:
        return [*np.asarray(value).reshape(-1)]  # those under a mask, too
    if isinstance(value, MethodType):
        return [value.__self__]
    if isinstance(value, partial):
        return [value.func, value.args, value.keywords]
    return []


def _attributes(value: Any) -> dict[str, Any]:
    """Return what is set on an object; code has what is not of the value."""
    if isinstance(value, (type, FunctionType, MethodType, ModuleType)):
        return {}
    return getattr(value, "__dict__", {})


def _made_of(value: Any, contents: list[Any]) -> Any:
    """Copy a value, with other contents."""
    if isinstance(value, dict):
        made = copy(value)
        made.clear()
        n = len(value)
        made.update(zip(contents[:n], contents[n:], strict=True))
        return made
    if isinstance(value, tuple) and hasattr(value, "_make"):
        return value._make(contents)
    if isinstance(value, (list, tuple, set, frozenset, deque)):
        return type(value)(contents)
    if isinstance(value, np.ndarray) and value.dtype == object:
        array = value.copy()
        flat = np.asarray(array).reshape(-1)
        for k, part in enumerate(contents):
            flat[k] = part
        return array
    if isinstance(value, MethodType):
        return MethodType(value.__func__, *contents)
    if isinstance(value, partial):
        function, args, keywords = contents
        return partial(function, *args, **keywords)
    return copy(value)
