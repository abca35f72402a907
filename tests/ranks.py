"""Several ranks in one process: threads in place of torch.distributed's processes."""

import threading
import warnings

import numpy as np
import torch

from skcae._core.data.arrays import make_generator
from skcae._core.data.rows import Rows, random_order
from skcae._core.training import ranks as parallel
from skcae._core.training.schedules import linear_rate
from skcae._fit.data import FitData, draw_seed, normalized
from skcae._fit.epochs import Fit, rate_of


class Threads:
    """What `skcae._core.training.ranks` uses of torch.distributed, for threads.

    Stricter than a process group: messages of different kinds or sizes that meet are
    an error, and the kinds of each rank's messages are kept in `kinds`, heard or not.
    """

    def __init__(self, n_ranks, timeout=60):
        self.n_ranks = n_ranks
        self.local = threading.local()
        self.barrier = threading.Barrier(n_ranks, timeout=timeout)
        self.box = [None] * n_ranks
        self.kinds = [[] for _ in range(n_ranks)]

    def is_available(self):
        return True

    is_initialized = is_available

    def get_rank(self):
        return self.local.rank

    def get_world_size(self):
        return self.n_ranks

    def swap(self, kind, payload):
        """Give each rank what all pass; a broken barrier is a RuntimeError."""
        self.kinds[self.local.rank].append(kind)
        self.box[self.local.rank] = (kind, payload)
        self.barrier.wait()
        kinds, payloads = zip(*self.box, strict=True)
        self.barrier.wait()
        if len(set(kinds)) > 1:
            self.barrier.abort()
            raise AssertionError(f"{kinds} meet")
        return payloads

    def all_gather_object(self, things, thing):
        things[:] = self.swap("gather", thing)

    def broadcast(self, tensor, src):
        tensor.copy_(self.swap("broadcast", tensor.clone())[src])

    def all_reduce(self, tensor):
        tensor.copy_(sum(self.swap(len(tensor), tensor.clone())))


def run_ranks(monkeypatch, *bodies, threads=None):
    """Run each body as a rank; return results or exceptions, and the warnings."""
    threads = threads or Threads(len(bodies))
    monkeypatch.setattr(parallel, "distributed", threads)
    results = [None] * len(bodies)

    def run(rank, body):
        threads.local.rank = rank
        try:
            results[rank] = body()
        except BaseException as error:
            results[rank] = error

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        running = [
            threading.Thread(target=run, args=each) for each in enumerate(bodies)
        ]
        for thread in running:
            thread.start()
        for thread in running:
            thread.join(timeout=120)
            assert not thread.is_alive()
    return results, caught


def succeeded(results):
    """The results of `run_ranks`, none of which may be an exception."""
    errors = [result for result in results if isinstance(result, BaseException)]
    if errors:
        raise BaseExceptionGroup("not all ranks came to their end", errors)
    return results


class OneProcess:
    """One process that is fed what the ranks would take, batch by batch.

    Attributes
    ----------
    parameters : dict of ndarray
        What it arrives at.
    means, validation_curve : list
        What it records on the way.
    """

    def __init__(self, estimator, shards, weights=None, X_val=None, weights_val=None):
        X = np.concatenate(shards)
        seed = draw_seed(estimator.random_state)
        self.generators = [make_generator(seed + rank) for rank in range(len(shards))]
        self.sizes = [len(shard) for shard in shards]
        self.batch_size = estimator.batch_size
        self.shuffle = estimator.shuffle
        rows = self._rows(X, weights)
        # Each rank draws weights, and those of the first are taken.
        parameters, *_ = [
            estimator._first_parameters(
                FitData(X),
                X.shape[1],
                generator=generator,
                dtype=torch.from_numpy(X).dtype,
                device=rows.device,
                scaling=None,
            )
            for generator in self.generators
        ]
        self.learner = estimator._learner(
            parameters,
            Fit(estimator, FitData(X)).solver(parameters),
            rows,
            batch_size=len(X),
            validation=None if X_val is None else self._rows(X_val, weights_val),
        )
        n_steps = -(-max(self.sizes) // self.batch_size)
        rate = rate_of(estimator, parameters, 1.0)
        self.rate = linear_rate(rate, estimator.max_iter * n_steps)
        self.n_steps, self.step = n_steps, 0
        self.means, self.validation_curve = [], []
        for _ in range(estimator.max_iter):
            self._run_epoch()
        kept = estimator._weight_attributes(parameters)
        self.parameters = kept.get("parameters_", kept)

    def _rows(self, X, weights):
        weights = normalized(weights, slice(None))
        return Rows(X, weights, dtype=X.dtype, device=make_generator(0).device)

    def _run_epoch(self):
        orders, start = [], 0
        for size, generator in zip(self.sizes, self.generators, strict=True):
            draws = self.shuffle and size > self.batch_size
            order = random_order(size, generator) if draws else np.arange(size)
            orders.append(start + order)
            start += size
        some = next(iter(self.learner.parameters.values()))
        totals = some.new_zeros(self.n_steps, 2)
        for k, of_step in enumerate(totals):
            part = slice(k * self.batch_size, (k + 1) * self.batch_size)
            index = np.concatenate([order[part] for order in orders])
            self.learner.take_step(index, self.rate(self.step), of_step)
            self.step += 1
        self.means.append(totals.sum(0).numpy() / start)
        self.validation_curve.append(self.learner.held_out())

    def assert_equals(self, fitted, rtol=1e-9):
        """Hold the fitted estimator to the same record and the same weights."""
        curves = fitted.reconstruction_curve_, fitted.penalty_curve_
        np.testing.assert_allclose(np.transpose(curves), self.means, rtol=rtol)
        weights = fitted._named_weights()
        assert weights.keys() == self.parameters.keys()
        for name, parameter in self.parameters.items():
            np.testing.assert_allclose(weights[name], parameter, rtol=rtol, atol=rtol)
