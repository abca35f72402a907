"""Training by several processes at once, each with rows of its own.

The processes are the ranks of torch.distributed's default group. What they tell each
other must not depend on where one of them fails: a rank that waits for a message of
another kind waits in vain. So there are two modes, and one kind of message in each.
Before and between trainings every message is a `gather` of small objects, or begins
with one. From `open` to `close` every message is the sum of one buffer, which holds a
gradient, two numbers, their weight, and whether a rank has failed. A rank that fails,
in whichever mode, sends that last, and all end at once.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import TypeVar

from torch import Tensor, distributed

from skcae._core.layers.gradient import Gradient
from skcae._core.layers.layer import Parameters

Thing = TypeVar("Thing")

# What the buffer holds behind the gradient: two numbers, their weight, and failures.
N_NUMBERS = 4


class Ranks:
    """Those who train together: this process alone."""

    rank = 0

    def gather(self, thing: Thing) -> list[Thing]:
        """Return what each rank passes."""
        return [thing]

    def broadcast(self, tensors: Iterable[Tensor]) -> None:
        """Write the first rank's values into the tensors of all."""

    def open(self, parameters: Parameters, n_rows: int) -> list[int]:
        """Begin to train these parameters, and return each rank's number of rows."""
        return [n_rows]

    def average(
        self,
        gradient: Gradient | None,
        parameters: Parameters,
        n_rows: int,
        totals: Tensor,
    ) -> Gradient:
        """Return the gradient of the mean objective over the rows of all ranks.

        `totals`, loss and penalties summed over the batch, become the sums over all.
        There is no gradient where there are no rows.
        """
        assert gradient is not None
        return gradient

    def mean(self, value: float, weight: float) -> float:
        """Return the weighted mean over the ranks."""
        return value

    def any(self, flag: bool) -> bool:
        """Tell whether the flag is set on a rank."""
        return flag

    def close(self) -> None:
        """End the training."""

    def end(self) -> None:
        """End what is done together: from here on nobody waits for anybody."""


ALONE = Ranks()


@dataclass(frozen=True)
class Failure:
    """What a rank that has failed sends in place of what is asked for."""

    rank: int
    reason: str

    def __str__(self) -> str:
        return f"Rank {self.rank} failed with {self.reason.rstrip('.')}."


class GroupRanks(Ranks):
    """The ranks of torch.distributed's default group.

    Attributes
    ----------
    rank, size : int
        The number of this rank, and of all.
    depth : int
        How many bodies of `together` lie in the outermost.
    is_over : bool
        Whether nobody listens any more.
    """

    def __init__(self) -> None:
        self.rank = distributed.get_rank()
        self.size = distributed.get_world_size()
        self.depth = 0
        self.is_over = False
        self._buffer: Tensor | None = None
        self._numbers: Tensor
        self._gradient: Parameters = {}

    @property
    def is_training(self) -> bool:
        """Whether a training is open."""
        return self._buffer is not None

    # ---- before and between trainings -------------------------------------------

    def gather(self, thing: Thing) -> list[Thing]:
        """Return what each rank passes."""
        things = self._all_objects(thing)
        reasons = " ".join(str(thing) for thing in things if isinstance(thing, Failure))
        if reasons:
            self.is_over = True
            raise RuntimeError(
                f"{reasons} With data_parallel=True a fit that fails on one rank fails "
                "on all; this estimator is what it was before."
            )
        return things

    def broadcast(self, tensors: Iterable[Tensor]) -> None:
        """Write the first rank's values into the tensors of all."""
        # First of all whether everybody is still there.
        self.gather(None)
        with self._hearing():
            for tensor in tensors:
                distributed.broadcast(tensor, src=0)

    def open(self, parameters: Parameters, n_rows: int) -> list[int]:
        """Begin to train these parameters, and return each rank's number of rows."""
        sizes = [parameter.numel() for parameter in parameters.values()]
        some = next(iter(parameters.values()))
        # One message for all parameters, and each parameter a view into it.
        buffer = some.new_zeros(sum(sizes) + N_NUMBERS)
        *parts, self._numbers = buffer.split_with_sizes([*sizes, N_NUMBERS])
        self._gradient = {
            name: part.view_as(parameter)
            for (name, parameter), part in zip(parameters.items(), parts, strict=True)
        }
        shards = self.gather(n_rows)
        self._buffer = buffer
        return shards

    # ---- in a training ----------------------------------------------------------

    def average(
        self,
        gradient: Gradient | None,
        parameters: Parameters,
        n_rows: int,
        totals: Tensor,
    ) -> Gradient:
        """Return the gradient of the mean objective over the rows of all ranks."""
        # Sums over rows, not means: a rank may have fewer rows in its batch, or none.
        if gradient is not None:
            replace(gradient, scale=1.0).add_to(self._gradient, parameters)
        else:
            for part in self._gradient.values():
                part.zero_()
        n_rows_of_all = self._sum(totals, n_rows)
        totals.copy_(self._numbers[:2])
        return Gradient(1 / n_rows_of_all, dict(self._gradient))

    def mean(self, value: float, weight: float) -> float:
        """Return the weighted mean over the ranks."""
        total = self._sum(value * weight, weight)
        return float(self._numbers[0]) / total

    def any(self, flag: bool) -> bool:
        """Tell whether the flag is set on a rank."""
        return self._sum(0.0, float(flag)) > 0

    def close(self) -> None:
        """End the training, and what is done together if that was all."""
        # The last message, in which a rank can still say that it has failed.
        self._sum(0.0, 0.0)
        self._buffer = None
        if self.depth == 0:
            self.end()

    def end(self) -> None:
        """End what is done together: from here on nobody waits for anybody."""
        self.is_over = True

    def _sum(
        self, numbers: float | Tensor, weight: float, failed: bool = False
    ) -> float:
        """Sum the buffer over the ranks, and return the sum of the weights."""
        assert self._buffer is not None
        self._numbers[:2] = numbers
        self._numbers[2], self._numbers[3] = weight, float(failed)
        with self._hearing():
            distributed.all_reduce(self._buffer)
        # Read together: each reading waits for the device.
        *_, weights, failures = self._numbers.tolist()
        if failures and not failed:
            self.gather(None)  # hears of the failures, and raises
        return float(weights)

    # ---- failures ---------------------------------------------------------------

    def give_up(self, error: BaseException) -> None:
        """Tell the others, if they do not know it, that this rank has failed."""
        if self.is_over:
            return
        self.is_over = True
        reason = f"{type(error).__name__}: {error}".rstrip(": ")
        with suppress(RuntimeError):  # they may be gone, too
            # In a training the others wait for a sum, and gather when they read this.
            if self.is_training:
                self._sum(0.0, 0.0, failed=True)
            self._all_objects(Failure(self.rank, reason))

    def _all_objects(self, thing: Thing) -> list[Thing]:
        things = [thing] * self.size
        with self._hearing():
            distributed.all_gather_object(things, thing)
        return things

    @contextmanager
    def _hearing(self) -> Iterator[None]:
        """Say what it means that the others are not to be heard."""
        try:
            yield
        except RuntimeError as error:
            self.is_over = True
            reason = str(error).partition("\n")[0]
            raise RuntimeError(
                f"Rank {self.rank} of {self.size} does not hear from the others any "
                "more: one of them is gone, has failed, or took longer than the "
                "process group waits. This estimator is what it was before. Start all "
                "ranks again; how long they wait for each other is the timeout of "
                "torch.distributed.init_process_group. torch.distributed says: "
                f"{reason}"
            ) from error


# Of the outermost body that runs now, for those within it.
_current_ranks: ContextVar[GroupRanks | None] = ContextVar("ranks", default=None)


@contextmanager
def together(data_parallel: bool) -> Iterator[Ranks]:
    """Give the ranks that do the body together; it ends on all if it fails on one.

    Raises
    ------
    ValueError
        If there is no process group.
    """
    if not data_parallel:
        yield ALONE
        return
    outer = _current_ranks.get()
    with _first(joined()) if outer is None else _further(outer) as ranks:
        yield ranks


def joined() -> GroupRanks:
    """Join the default group of this process."""
    if not (distributed.is_available() and distributed.is_initialized()):
        raise ValueError(
            "data_parallel=True trains together with the other processes of "
            "torch.distributed's default group, but there is none. Start the script "
            "with torchrun, and before fit call torch.distributed.init_process_group("
            '"gloo", timeout=datetime.timedelta(minutes=5)); or set '
            "data_parallel=False."
        )
    return GroupRanks()


@contextmanager
def _first(ranks: GroupRanks) -> Iterator[Ranks]:
    """Watch over the outermost body."""
    token = _current_ranks.set(ranks)
    try:
        yield ranks
    except BaseException as error:
        ranks.give_up(error)
        raise
    finally:
        _current_ranks.reset(token)


@contextmanager
def _further(ranks: GroupRanks) -> Iterator[Ranks]:
    """Count a body within another, which watches over it."""
    if ranks.is_training:
        raise ValueError(
            "A callback of a fit with data_parallel=True has begun another one. Set "
            "data_parallel=False where it fits."
        )
    ranks.depth += 1
    try:
        yield ranks
    finally:
        ranks.depth -= 1
