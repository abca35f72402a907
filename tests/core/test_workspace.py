"""The memory of a step: what lies where, and what shares it."""

import pytest
import torch

from skcae._core.steps import workspace
from skcae._core.steps.workspace import Workspace

D, H, N = 7, 5, 4


def workspace_of(**how):
    how = {"dtype": torch.float64, "device": torch.device("cpu"), **how}
    return Workspace(N, D, H, 2, **how)


def shares(one, other):
    return one.untyped_storage().data_ptr() == other.untyped_storage().data_ptr()


@pytest.mark.parametrize("n_copies", [0, 2])
@pytest.mark.parametrize("n", [N, 3])
def test_the_operands_of_the_one_product_hold_what_is_read_and_encoded(n, n_copies):
    """[X; copies; dZ], with Z in the place of dZ, and [gradients; H]."""
    batch, m = workspace_of(n_copies=n_copies).batch(n), (1 + n_copies) * n
    assert len(batch) == n
    assert batch.codes.shape == batch.gradients.shape == (m, H)
    batch.X.fill_(0)
    if n_copies:
        batch.copies.copy_(torch.arange(1, 1 + n_copies)[:, None, None])
    else:
        assert batch.copies is None
    batch.Z.fill_(1 + n_copies)
    blocks = [torch.full((n, D), float(k)) for k in range(2 + n_copies)]
    torch.testing.assert_close(batch.right, torch.cat(blocks).double())
    torch.testing.assert_close(batch.inputs, batch.right[:m])
    batch.codes.fill_(1)
    batch.gradients.fill_(2)
    batch.dA.fill_(3)
    expected = torch.cat((torch.full((m, H), 2.0), torch.ones(n, H)))
    expected[:n] = 3
    torch.testing.assert_close(batch.left, expected.double())
    # The rows' own come first.
    batch.H.fill_(4)
    assert (batch.codes[:n] == 4).all()
    assert (batch.codes[n:] == 1).all()


@pytest.mark.parametrize("corrupts", [True, False])
def test_what_is_to_be_reconstructed_is_what_is_encoded_unless_that_is_corrupted(
    corrupts,
):
    batch = workspace_of(corrupts=corrupts).batch(N)
    assert shares(batch.target, batch.X) != corrupts


def test_batches_of_all_sizes_share_their_memory():
    memory = workspace_of()
    large, small = memory.batch(N), memory.batch(2)
    assert memory.batch(2) is small
    for name in ("right", "left", "codes"):
        assert shares(getattr(large, name), getattr(small, name))


@pytest.mark.parametrize("elements", [1, 9, 1000])
@pytest.mark.parametrize("n_copies", [0, 1])
def test_tiles_cover_everything_once(elements, n_copies, monkeypatch):
    monkeypatch.setattr(workspace, "TILE_ELEMENTS", elements)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    batch = workspace_of(n_copies=n_copies).batch(3)
    for X, Z in batch.outputs:
        X += 1
        Z += 1
    assert (batch.target == 1).all()
    assert (batch.Z == 1).all()
    rows = torch.zeros(3)
    for tile in batch.units:
        rows[tile.rows] += 1
        tile.codes.add_(1)
        tile.every.gradient.add_(1)
        tile.own.gradient.add_(1)
        assert len(tile.every.scratch) == len(tile.own.scratch) == 2
        for own, every in zip(tile.own.scratch, tile.every.scratch, strict=True):
            assert every.shape == tile.codes.shape
            assert own.shape == tile.own.gradient.shape
    assert (rows == 1).all()
    assert (batch.codes == 1).all()
    assert (batch.dA == 2).all()
    assert (batch.gradients[3:] == 1).all()


def test_an_accelerator_takes_all_at_once(monkeypatch):
    monkeypatch.setattr(workspace, "TILE_ELEMENTS", 1)
    batch = workspace_of(device=torch.device("meta")).batch(N)
    assert len(batch.units) == len(batch.outputs) == 1
