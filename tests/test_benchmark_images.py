"""The benchmark of images: its SVM, its norm, and that nothing is run twice."""

import argparse
import json

import numpy as np
import pytest
import torch
from scipy.optimize import check_grad
from sklearn.datasets import load_digits

from benchmarks.images import cifar10, first_compression, report, transcription
from benchmarks.images.models import (
    MODELS,
    Model,
    Products,
    kmeans,
    norm_of_jacobian,
)
from benchmarks.images.svm import LinearSVM, standardise
from skcae import ContractiveAutoencoder, PatchEncoder
from skcae.inspection import jacobian_norm

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def test_the_gradient_of_the_svm():
    random = np.random.default_rng(0)
    X = random.normal(size=(30, 4)).astype(np.float32)
    targets = torch.where(
        torch.eye(3)[random.integers(0, 3, 30).tolist()] > 0, 1.0, -1.0
    )
    svm = LinearSVM(10.0)
    args = torch.from_numpy(X), targets, (3, 5)
    w = random.normal(size=15) / 2
    error = check_grad(
        lambda w: svm._objective(w, *args)[0],
        lambda w: svm._objective(w, *args)[1],
        w,
        epsilon=1e-2,
    )
    assert error < 0.02 * np.linalg.norm(svm._objective(w, *args)[1])


def test_the_svm_learns():
    X, y = load_digits(return_X_y=True)
    seen, others = X[:1200].astype(np.float32), X[1200:].astype(np.float32)
    standardise(seen, others)
    assert LinearSVM(10.0).fit(seen, y[:1200]).error(others, y[1200:]) < 0.1


def test_the_norm_by_differences_is_that_of_the_jacobian():
    X = np.random.default_rng(0).random((30, 12))
    cae = ContractiveAutoencoder(8, max_iter=3, tol=1.0, random_state=0).fit(X)
    found = norm_of_jacobian(cae.transform, X, n_probes=400)
    np.testing.assert_allclose(found, jacobian_norm(cae, X), rtol=0.1)


def test_the_transcription_has_the_codes_of_the_library():
    """Whose patches have the channels last, and pixels to 1."""
    X = np.random.default_rng(0).random((12, 3072)).astype(np.float32)
    model = PatchEncoder(
        kmeans(7, max_iter=0, random_state=0),
        image_shape=(32, 32, 3),
        n_patches=300,
        pooling="sum",
        random_state=0,
    ).fit(X)
    order = np.arange(108).reshape(6, 6, 3).transpose(2, 0, 1).ravel()
    M, P, centres = (
        torch.from_numpy(a.astype(np.float32))
        for a in (
            model.patch_mean_[order],
            model.whitening_[np.ix_(order, order)],
            model.encoder_.cluster_centers_[:, order],
        )
    )
    images = torch.from_numpy(255 * X).view(-1, 32, 32, 3)
    found = [transcription.pooled(image, M, P, centres).numpy() for image in images]
    # What the library takes off is the same number for all images. Its variances
    # are divided by 108, and not by 107.
    counts = np.outer([14, 13], [14, 13]).reshape(-1, 1)
    expected = model.transform(X) + (counts * model.resting_code_).ravel()
    assert np.abs(found - expected).max() < 0.02 * np.abs(expected).mean()


def test_the_transcription_whitens_and_finds_centres():
    random = torch.Generator().manual_seed(0)
    middles = 3 * torch.eye(5)
    rows = middles[torch.randint(5, (3000,), generator=random)]
    rows = rows + 0.1 * torch.randn(3000, 5, generator=random)
    M, P = transcription.whitening(rows)
    covariance = torch.cov(((rows - M) @ P).mT)
    # v / (v + 0.1) of each variance.
    values = torch.linalg.eigvalsh(torch.cov(rows.mT))
    expected = values / (values + transcription.WHITENING)
    found = torch.linalg.eigvalsh(covariance)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)
    centres = transcription.k_means(rows, 5, random)
    nearest = torch.cdist(rows, centres).argmin(1)
    assert len(nearest.unique()) > 1
    for k in nearest.unique():
        # It has settled: each centre is the mean of what is nearest to it.
        torch.testing.assert_close(
            centres[k], rows[nearest == k].mean(0), rtol=0, atol=1e-3
        )


def test_products_with_centres_are_of_length_one():
    X = np.random.default_rng(0).random((40, 6))
    model = kmeans(3, max_iter=0, random_state=0, kind=Products).fit(X)
    # Each centre's product with itself is its length.
    found = model.transform(model.cluster_centers_).diagonal()
    np.testing.assert_allclose(found, np.linalg.norm(model.cluster_centers_, axis=1))


def test_strips_that_train_and_test_do_not_meet():
    train, test = first_compression.tiles(0)
    assert train[0].shape[1:] == test[0].shape[1:] == (32, 32, 3)
    assert set(train[1]) == set(test[1]) == set(range(11))
    assert np.bincount(test[1]).max() <= first_compression.MOST_TEST
    # Where all is black tiles are alike.
    seen = {tile.tobytes() for tile in train[0]}
    assert not any(tile.tobytes() in seen for tile in test[0] if tile.std() > 5)
    once = first_compression.rows(test[0][:3], 50)
    change = np.abs(once - first_compression.rows(test[0][:3], None))
    assert 0.005 < change.mean() < 0.1


def test_what_is_there_is_not_run_again(tmp_path, monkeypatch):
    grid = ({"jacobian_penalty": 0.5}, {"jacobian_penalty": 0.05})
    model = Model("CAE", ContractiveAutoencoder, grid)
    monkeypatch.setitem(MODELS, "cae", model)
    random = np.random.default_rng(0)
    y = random.integers(0, 2, 40)
    X = (random.random((40, 3072)) * (0.3 + 0.7 * y[:, None])).astype(np.float32)
    args = argparse.Namespace(epochs=1, seed=0, patches=200, choose=30)
    monkeypatch.setattr(cifar10, "UNITS_TO_CHOOSE_WITH", 4)
    files = [tmp_path / name for name in ("choices.csv", "runs.csv")]
    choices, runs = map(cifar10.Records, files)
    both = (X[:30], y[:30]), (X[30:], y[30:])
    key = {"model": "cae", "units": 4, "train": 30, "data": "made"}
    cifar10.run("cae", 4, *both, args, key, choices, runs)
    (row,) = cifar10.Records(files[1]).rows
    assert float(row["jacobian_norm"]) > 0
    assert cifar10.Records(files[1]).find(key) == row
    monkeypatch.setattr(cifar10, "codes_of", None)  # which a choice would call
    again = cifar10.Records(files[0])
    chosen = cifar10.choose("cae", both[0], args, key, again)
    assert json.dumps(chosen) == row["settings"]
    assert len(again.rows) == 2
    how = {"test": 10, "choose": 30, "patches": 200, "epochs": 1, "seed": 0}
    report.write([{**row, **how}], tmp_path)
    assert "| CAE | 4 |" in (tmp_path / "cifar10.md").read_text(encoding="utf-8")
    assert (tmp_path / "cifar10.png").exists()
