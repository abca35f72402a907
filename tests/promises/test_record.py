"""What a training records of each epoch: the objective, and what it is the sum of."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from skcae.inspection import jacobian_norm
from tests.promises.kinds import LAYERS, NETWORKS


def trained_parts(model):
    return getattr(model, "estimators_", [model])


def test_losses_and_penalties_add_up_to_the_objective(encoder, unit_data):
    """Over a fit, one that goes on from it, and a single pass."""
    model = encoder(warm_start=True, early_stopping=True).fit(unit_data)
    before = [part.penalty_curve_ for part in trained_parts(model)]
    model.fit(unit_data)
    if hasattr(model, "partial_fit"):
        model.partial_fit(unit_data)
    for part, earlier in zip(trained_parts(model), before, strict=True):
        losses, penalties = part.reconstruction_curve_, part.penalty_curve_
        assert len(losses) == len(penalties) == part.n_iter_ > len(earlier) > 0
        assert_array_equal(losses + penalties, part.loss_curve_)
        assert_array_equal(penalties[: len(earlier)], earlier)
        assert (losses > 0).all()
        is_penalized = any(part._strengths().values())
        assert ((penalties > 0) == is_penalized).all()


# Those without noise, which the step alone sees.
PLAIN = [kind for kind in (*LAYERS, *NETWORKS) if kind.repeats]


@pytest.mark.parametrize("loss", ["squared_error", "cross_entropy"])
@pytest.mark.parametrize("kind", PLAIN, ids=lambda kind: kind.name)
def test_both_are_of_the_weighted_rows_as_the_step_saw_them(loss, kind, unit_data):
    model = kind(loss=loss).fit(unit_data)
    weights = np.linspace(0.2, 2, len(unit_data))
    losses = -model.score_samples(unit_data)
    strength = getattr(model, "jacobian_penalty", 0.0)
    penalties = strength * jacobian_norm(model, unit_data) ** 2
    model.partial_fit(unit_data, sample_weight=weights)
    for curve, values in (
        (model.reconstruction_curve_, losses),
        (model.penalty_curve_, penalties),
    ):
        assert curve[-1] == pytest.approx(np.mean(weights * values), rel=1e-12)
