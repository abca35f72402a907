"""What the docstrings of several estimators and functions have in common.

A line `%(name)s` of a docstring stands for a part of `PARTS`.
"""

import inspect
import re
from collections.abc import Callable
from dataclasses import is_dataclass
from typing import Any, TypeVar

from skcae._estimators.words import autoencoders, fine_tuning, inspection

Described = TypeVar("Described", bound=Callable[..., object])


# The parts by their names.
PARTS = {**autoencoders.WORDS, **fine_tuning.WORDS, **inspection.WORDS}


def documented(described: Described) -> Described:
    """Put the shared parts into the docstring of a class or a function.

    A class's constructor shows its parameters in the order that they are described in.
    """
    if described.__doc__:  # there is none under python -OO
        described.__doc__ = re.sub(
            r"^ *%\(([\w -]+)\)s$",
            lambda line: PARTS[line[1]].strip("\n"),
            described.__doc__,
            flags=re.MULTILINE,
        )
        if is_dataclass(described):
            _put_in_order(described)
    return described


def _put_in_order(described: type) -> None:
    """Give the keywords of a constructor the order of the docstring."""
    constructor: Any = described.__init__  # type: ignore[misc]
    names = re.findall(r"^    (\w+) : ", described.__doc__ or "", flags=re.MULTILINE)
    signature = inspect.signature(constructor)
    first = [p for p in signature.parameters.values() if p.kind is not p.KEYWORD_ONLY]
    keywords = [p for p in signature.parameters.values() if p.kind is p.KEYWORD_ONLY]
    keywords.sort(key=lambda p: [*names, p.name].index(p.name))
    constructor.__signature__ = signature.replace(parameters=[*first, *keywords])
