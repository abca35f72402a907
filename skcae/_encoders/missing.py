"""What to do about missing values, said where they are found."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def naming_cure(what: str) -> Iterator[None]:
    """Say in what a check raises about NaN before what an imputer belongs."""
    try:
        yield
    except ValueError as error:
        if not str(error).startswith("Input X contains NaN"):
            raise
        raise ValueError(
            "Input X contains NaN, and a missing value cannot be encoded. Put a "
            f"SimpleImputer before the {what} in a pipeline, as in "
            "make_pipeline(SimpleImputer(add_indicator=True), ...), or leave out such "
            "rows."
        ) from error
