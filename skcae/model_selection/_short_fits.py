"""Short fits of an encoder for each λ, and the scores of judges of their codes."""

import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.callback._callback_context import CallbackContext
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, ParameterGrid
from sklearn.utils import _safe_indexing
from sklearn.utils._metadata_requests import _routing_enabled
from sklearn.utils.metadata_routing import process_routing
from sklearn.utils.parallel import Parallel, delayed

from skcae._core.data.arrays import Array
from skcae._fit.pretraining import fit_encoder
from skcae.exceptions import DeadModelWarning

# How the warnings begin of encoders that few epochs were not enough for.
OF_EPOCHS = "Training stopped at max_iter|max_iter="

# The rows to fit, and those to score.
Split = tuple[Array, Array]


def judges_of(owner: Any, cv: Any = None) -> GridSearchCV:
    """Return the search over the parameters of a search's judge, for codes."""
    return GridSearchCV(
        owner.judge,
        owner.judge_grid or {},
        scoring=owner.scoring,
        cv=cv,
        refit=False,
        error_score="raise",
    )


@dataclass(frozen=True)
class ShortFits:
    """The short fits of one search.

    Parameters
    ----------
    owner : ContractiveAutoencoderCV
        Whose search it is.
    encoder : estimator
        What is fitted, but for λ and the epochs.
    n_epochs : int
        Those of each fit.
    X, y, sample_weight : array-like
        All rows.
    """

    owner: Any
    encoder: Any
    n_epochs: int
    X: Any
    y: Any
    sample_weight: Any

    def results(
        self, penalties: Sequence[float], splits: Sequence[Split], root: CallbackContext
    ) -> dict[str, Any]:
        """Judge all λ in all splits, and put the scores into a table."""
        search = root.subcontext(
            "search",
            max_subtasks=len(penalties) * len(splits),
            sequential_subtasks=False,
        ).call_on_fit_task_begin(estimator=self.owner)
        # Tasks are made before they are sent to other processes.
        fits = [
            (penalty, rows, search.subcontext("penalty-split-evaluation", k))
            for k, (penalty, rows) in enumerate(product(penalties, splits))
        ]
        with silent():
            found = Parallel(n_jobs=self.owner.n_jobs)(
                delayed(self.judged)(*fit) for fit in fits
            )
        search.call_on_fit_task_end(estimator=self.owner)
        candidates = [
            {"jacobian_penalty": penalty, **params}
            for penalty in penalties
            for params in ParameterGrid(self.owner.judge_grid or {})
        ]
        # From (λ, splits, judges) to (λ, judges, splits), as candidates have splits.
        scores = np.array(found, dtype=object).reshape(len(penalties), len(splits), -1)
        in_order = scores.swapaxes(1, 2).ravel().tolist()
        table = judges_of(self.owner)._format_results(candidates, len(splits), in_order)
        return dict(table)

    def judged(
        self, penalty: float, rows: Split, task: CallbackContext
    ) -> list[dict[str, float]]:
        """Fit an encoder to some rows, and score judges of its codes on the others."""
        start = time.perf_counter()
        X, y, sample_weight = (
            part if part is None else _safe_indexing(part, rows[0])
            for part in (self.X, self.y, self.sample_weight)
        )
        encoder = clone(self.encoder)
        encoder.set_params(jacobian_penalty=penalty, max_iter=self.n_epochs)
        fit_encoder(self.owner, encoder, X, y, sample_weight, task)
        codes = encoder.transform(self.X)
        fit_time = time.perf_counter() - start
        judges = judges_of(self.owner, [rows]).fit(codes, self.y, **self._weights())
        if judges.multimetric_:
            raise ValueError(
                "scoring must give one number, by which λ is chosen, but it gives "
                "several under names of their own."
            )
        return [
            {"fit_time": fit_time + fit, "score_time": score, "test_scores": value}
            for fit, score, value in zip(
                judges.cv_results_["mean_fit_time"],
                judges.cv_results_["mean_score_time"],
                judges.cv_results_["split0_test_score"],
                strict=True,
            )
        ]

    def _weights(self) -> dict[str, Any]:
        """Return the fit arguments that hand weights to judges and their scores."""
        if self.sample_weight is None:
            return {}
        given = {"sample_weight": self.sample_weight}
        if _routing_enabled():
            return dict(process_routing(self.owner, "fit", **given)["judge"]["fit"])
        return given


@contextmanager
def silent() -> Iterator[None]:
    """Leave it to scores what short fits of encoders warn of; judges may speak.

    scikit-learn hands the filters on to the threads and processes that it starts.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", OF_EPOCHS, ConvergenceWarning)
        warnings.simplefilter("ignore", DeadModelWarning)
        yield
