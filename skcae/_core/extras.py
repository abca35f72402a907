"""Packages that only some parts need."""

from importlib import import_module
from typing import Any

# What pip calls a package whose modules have another name.
NAMES = {"PIL": "Pillow"}


def imported(module: str, *, extra: str, for_what: str) -> Any:
    """Import a module, or say how to get it.

    Raises
    ------
    ImportError
        If it is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        top = module.partition(".")[0]
        package = NAMES.get(top, top)
        raise ImportError(
            f'{for_what} needs {package}; install it with pip install "skcae[{extra}]"'
        ) from error
