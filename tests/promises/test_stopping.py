"""When a fit ends, what it says then, and what held-out data it takes."""

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.estimator_checks import check_fit2d_1sample

from tests.promises.kinds import assert_same_model


def two_classes(kind, n_rows=40):
    """Targets that come evenly, if the estimator learns any."""
    return np.arange(n_rows) % 2 if kind.learns else None


def test_a_fit_that_has_not_settled_warns(kind, unit_data):
    model = kind(max_iter=4, n_iter_no_change=2, tol=1e-9)
    with pytest.warns(ConvergenceWarning) as caught:
        model.fit(unit_data, two_classes(kind))
    # Each layer of a stack does.
    n_layers = len(getattr(model, "estimators_", [model]))
    assert model.n_iter_ == 4 * n_layers
    assert [w.category for w in caught] == [ConvergenceWarning] * n_layers
    for warning in caught:
        assert "Training stopped at max_iter=4" in str(warning.message)
        assert "tol=1e-09" in str(warning.message)
        # It points at the line that called fit.
        assert warning.filename == __file__


def test_a_fit_that_has_settled_does_not_warn(kind, unit_data, recwarn):
    kind().fit(unit_data, two_classes(kind))
    assert not recwarn.list


def test_too_few_epochs_to_settle_warn_of_that(kind, unit_data):
    with pytest.warns(ConvergenceWarning, match="max_iter=3 epochs are too few"):
        kind(max_iter=3, tol=10.0, n_iter_no_change=10).fit(
            unit_data, two_classes(kind)
        )


def test_code_without_a_module_is_warned_too(kind, unit_data):
    names = {"make": kind, "X": unit_data, "y": two_classes(kind)}
    with pytest.warns(ConvergenceWarning, match="max_iter=3 epochs are too few"):
        exec("make(max_iter=3, tol=10.0, n_iter_no_change=10).fit(X, y)", names)


def test_the_linear_schedule_anneals_before_it_stops(kind, unit_data):
    model = kind(max_iter=40, tol=10.0, n_iter_no_change=3)
    model.fit(unit_data, two_classes(kind))
    # Half of max_iter in any case, then three epochs of a falling rate.
    assert model.n_iter_ == 23 * len(getattr(model, "estimators_", [model]))


def test_batch_size_auto_is_full_batch_for_few_rows_alone(kind, digits):
    def fit(n_rows, repeats=1, **how):
        X = digits[0][:n_rows].repeat(repeats, axis=0)
        return kind(**how).fit(X, kind.target(X))

    assert_same_model(fit(63), fit(63, batch_size=63))
    assert_same_model(fit(63), fit(63, shuffle=False))
    n = 100 if kind.learns else 20
    assert_same_model(fit(64, 2), fit(64, 2, batch_size=n))


# ---- held-out data --------------------------------------------------------------


def test_held_out_data_that_would_not_be_used_is_refused(kind, unit_data):
    y = kind.target(unit_data)
    with pytest.raises(ValueError, match="early_stopping=False"):
        kind().fit(unit_data, y, **kind.held_out(unit_data))
    with pytest.raises(
        ValueError, match="but X_val is missing" if kind.learns else "without X_val"
    ):
        kind(early_stopping=True).fit(
            unit_data,
            y,
            **({"y_val": y} if kind.learns else {"sample_weight_val": [1]}),
        )


@pytest.mark.parametrize(
    ("X_val", "message"),
    [
        (np.ones((40, 7)), r"7 features.*expecting 8"),
        (np.full((40, 8), np.nan), "NaN"),
    ],
    ids=["features", "nan"],
)
def test_errors_of_held_out_rows_name_them(X_val, message, kind, unit_data):
    y = kind.target(unit_data)
    held_out = {"X_val": X_val, **({"y_val": y} if kind.learns else {})}
    named = "X_val" if kind.learns else "X_val or sample_weight_val"
    with pytest.raises(ValueError, match=rf"{named}.*{message}") as caught:
        kind(early_stopping=True).fit(unit_data, y, **held_out)
    # These rows are not to join pre-training.
    assert "X_unlabeled" not in str(caught.value)


@pytest.mark.parametrize(
    ("weights", "message"),
    [([1, 2], "expected"), ([0, 0, 0], "non-zero"), ([1, -1, 0], "negative")],
    ids=str,
)
def test_errors_of_the_weights_of_held_out_rows_name_them(
    weights, message, encoder, unit_data
):
    held_out = {"X_val": np.ones((3, 8)), "sample_weight_val": weights}
    with pytest.raises(ValueError, match=rf"X_val or sample_weight_val.*{message}"):
        encoder(early_stopping=True).fit(unit_data, **held_out)


def test_one_row_cannot_be_split(encoder, unit_data):
    with pytest.raises(ValueError, match="only 1 sample"):
        encoder(early_stopping=True).fit(unit_data[:1])
    encoder(early_stopping=True).fit(unit_data[:1], X_val=unit_data)
    # In the words of scikit-learn, too.
    check_fit2d_1sample("model", encoder(early_stopping=True))


def test_held_out_data_may_have_another_precision(kind, unit_data):
    y = kind.target(unit_data)
    for dtypes in (("f4", "f8"), ("f8", "f4"), ("f4", "i8")):
        X, X_val = (
            (10 * rows).astype(dtype)
            for rows, dtype in zip(
                (unit_data[:30], unit_data[30:]), dtypes, strict=True
            )
        )
        fits = []
        for held_out in (X_val, X_val.astype(dtypes[0])):
            given = {"X_val": held_out}
            if kind.learns:
                given["y_val"] = y[30:]
            target = None if y is None else y[:30]
            fits.append(kind(early_stopping=True).fit(X, target, **given))
        assert_same_model(*fits, rtol=1e-4, atol=1e-6)
        assert {answer.dtype for answer in kind.answers(fits[0], X)} <= {
            np.dtype(dtypes[0]),
            y.dtype if kind.name == "classifier" else np.dtype(dtypes[0]),
        }
