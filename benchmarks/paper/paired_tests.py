"""How sure a test error is, and whether two models differ on the same test images.

Errors are arrays of (seeds, images), True where the answer is wrong. The bootstrap
draws images with replacement, the same for all models that are compared, and where the
seeds are part of what is uncertain also those of each model.
"""

from typing import NamedTuple

import numpy as np
from scipy.stats import binomtest

N_RESAMPLES = 10_000


class Estimate(NamedTuple):
    """A number with its 95 % interval, and the p-value that it is 0."""

    value: float
    low: float
    high: float
    p_value: float = float("nan")


def error(wrong):
    """Return the mean error, its interval over test images and seeds."""
    (means,) = resampled([wrong], with_seeds=True)
    return estimate(wrong.mean(), means)


def difference(wrong, other, *, with_seeds=False):
    """Return by how much the mean error is above another's, over the test images."""
    means, others = resampled([wrong, other], with_seeds=with_seeds)
    found = means - others
    # Two-sided: twice the smaller part on either side of 0.
    tail = min(np.mean(found <= 0), np.mean(found >= 0))
    p_value = min(1.0, 2 * max(tail, 1 / N_RESAMPLES))
    return estimate(wrong.mean() - other.mean(), found)._replace(p_value=p_value)


def ratio(wrong, other):
    """Return the mean error divided by another's, over test images and seeds."""
    means, others = resampled([wrong, other], with_seeds=True)
    # Of few images a sample may have no error of the other, and no bound then.
    with np.errstate(divide="ignore", invalid="ignore"):
        return estimate(wrong.mean() / other.mean(), means / others)


def mcnemar(wrong, other):
    """Return the exact p-value of McNemar's test, of one seed of each model."""
    only, others_only = np.sum(wrong & ~other), np.sum(other & ~wrong)
    if only + others_only == 0:
        return 1.0
    return float(binomtest(int(only), int(only + others_only), 0.5).pvalue)


def estimate(value, resamples):
    """Put the percentiles of the resamples beside a value."""
    low, high = np.percentile(resamples, [2.5, 97.5])
    return Estimate(float(value), float(low), float(high))


def resampled(models, *, with_seeds):
    """Return the mean error of each model in each resample, (resamples,) each.

    Images on which all runs do the same are alike: how many of each kind a resample
    has is multinomial.
    """
    rng = np.random.default_rng(0)
    runs = np.concatenate(models)
    kinds, counts = np.unique(runs.T, axis=0, return_counts=True)
    n_images = runs.shape[1]
    drawn = rng.multinomial(n_images, counts / n_images, N_RESAMPLES) / n_images
    means = np.split(drawn @ kinds, np.cumsum([len(m) for m in models])[:-1], axis=1)
    if not with_seeds:
        return [of_model.mean(axis=1) for of_model in means]
    return [
        np.sum(of_model * shares(of_model.shape[1], rng), axis=1) for of_model in means
    ]


def shares(n_seeds, rng):
    """Draw seeds with replacement; return the part of each, (resamples, seeds)."""
    equal = np.full(n_seeds, 1 / n_seeds)
    return rng.multinomial(n_seeds, equal, N_RESAMPLES) / n_seeds
