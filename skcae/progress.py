"""A progress bar with the number of the epoch and the objective."""

from queue import Queue
from typing import Any

from sklearn.callback import ProgressBar
from sklearn.callback._callback_context import get_context_path
from sklearn.callback._progressbar import (
    RichProgressMonitor,
    _run_monitors,
    _run_queues,
)
from sklearn.callback._transport import open_listener, send

from skcae._core.extras import imported

__all__ = ["EpochBar"]


class EpochBar(ProgressBar):
    """Callback that shows a progress bar with the epoch and the objective.

    It is scikit-learn's `ProgressBar`, but that the bar of a training reads, after each
    epoch, "layer 2/3 · epoch 37/200 · objective 0.5276". With early stopping it says
    too what the held-out data gave: the objective, or of a fine-tuned network the
    error. Other bars, as those of a search and its folds, are as scikit-learn has them.
    This is also what `verbose` shows.

    Parameters
    ----------
    max_propagation_depth : int or None, default=None
        Down to which depth of nested estimators there are bars. At 0 there is that of
        the estimator alone on which the callback is set, and with None there are all.

    Raises
    ------
    ImportError
        If rich is not installed.

    See Also
    --------
    sklearn.callback.ProgressBar : The same for any estimator, without objectives.
    skcae.checkpoints.Checkpoint : Callback that keeps a fit in a file.

    Notes
    -----
    It is drawn by rich, in notebooks with ipywidgets; the extra `progress` brings both.
    Into a file it is written once, at the end.

    Nothing is computed or copied for it. When an epoch ends its task has the objective
    as `context.objective`, and as `context.held_out` what the held-out data gave, or
    None without any. Callbacks of your own find both there.

    Examples
    --------
    >>> import numpy as np
    >>> from skcae import ContractiveAutoencoder
    >>> from skcae.progress import EpochBar
    >>> X = np.random.default_rng(0).random((50, 8))
    >>> cae = ContractiveAutoencoder(
    ...     4, bias_spread=0, max_iter=20, tol=0.1, random_state=0
    ... )
    >>> cae = cae.set_callbacks(EpochBar()).fit(X)  # doctest: +ELLIPSIS
    ContractiveAutoencoder · epoch 15/20 · objective 0.592 ━━━...━━━ 100% 0:00:0...
    """

    def __init__(self, max_propagation_depth: int | None = None) -> None:
        imported("rich", extra="progress", for_what="EpochBar")
        super().__init__(max_propagation_depth=max_propagation_depth)

    def setup(self, estimator: Any, context: Any) -> None:
        """Begin to draw, before the fit begins.

        Parameters
        ----------
        estimator : estimator
            Not used.

        context : CallbackContext
            The task of the fit, as scikit-learn tells it to callbacks.
        """
        run, queue = context.root_uuid, Queue[Any]()
        self._listener_handles[run] = open_listener(queue.put)
        _run_queues[run], _run_monitors[run] = queue, EpochMonitor(queue=queue)
        _run_monitors[run].start()

    def on_fit_task_end(self, estimator: Any, context: Any) -> None:
        """Move the bars on, and after an epoch tell what came of it.

        Parameters
        ----------
        estimator : estimator
            Not used.

        context : CallbackContext
            The task that has ended.
        """
        message = {
            "event": "end",
            "path": [task.task_id for task in get_context_path(context)],
            "text": text_of(context) if hasattr(context, "objective") else None,
        }
        send(self._listener_handles[context.root_uuid], message)


class EpochMonitor(RichProgressMonitor):
    """Draws the bars, with the text of the last epoch on that of its fit."""

    def _on_task_end(self, task_info: dict[str, Any]) -> None:
        text, path = task_info.pop("text"), task_info["path"]
        super()._on_task_end(task_info)
        if text is not None:
            *_, fit, _ = self.root_rich_task.get_descendants(path)
            described = f"{'  ' * fit.depth}{text}"
            self.progress_ctx.update(fit.id, description=described)


def text_of(epoch: Any) -> str:
    """Say which epoch of what has ended, and what came of it."""
    fit = epoch.parent
    number = f"epoch {epoch.task_id + 1}/{fit.max_subtasks}"
    measured = in_words(epoch.objective, epoch.held_out, digits=4)
    return f"{name_of(fit)} · {number} · {measured}"


def name_of(fit: Any) -> str:
    """Name what has epochs: a layer by its number, fine-tuning, or an estimator."""
    if fit.source_task_name == "layer":
        return f"layer {fit.task_id + 1}/{fit.parent.max_subtasks}"
    return str(fit.estimator_name if fit.task_name == "fit" else fit.task_name)


def in_words(objective: float, held_out: float | None, *, digits: int) -> str:
    """Say what was measured after an epoch."""
    words = f"objective {objective:.{digits}g}"
    return words if held_out is None else f"{words}, held out {held_out:.{digits}g}"
