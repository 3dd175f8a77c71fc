"""Sums by row and steps of rows in Triton against the same in torch: in the interpreter where there is no GPU."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("triton")
from prismrec.models.m2grl import triton_rows  # noqa: E402
from prismrec.models.m2grl.local_tables import LocalTables  # noqa: E402
from prismrec.models.m2grl.row_gradients import TargetGradients  # noqa: E402
from prismrec.models.m2grl.torch_device import TorchDevice  # noqa: E402
from prismrec.models.m2grl.triton_rows import add_rows, learn_rows  # noqa: E402

NAME = "cuda" if torch.cuda.is_available() else "cpu"
DEVICE, PLAIN = TorchDevice(NAME, kernels="triton"), TorchDevice(NAME, kernels="torch")
N_ROWS = 40


@pytest.fixture(params=[4, 64])
def piece(request, monkeypatch):
    """Small pieces cut nearly every run, large ones nearly none."""
    monkeypatch.setattr(triton_rows, "PIECE", request.param)
    return request.param


def ids_of(n, seed=0):
    """Rows of which some occur once and one makes up a third of all."""
    rng = np.random.default_rng(seed)
    ids = rng.integers(0, N_ROWS, n)
    ids[rng.random(n) < 0.3] = 7
    return DEVICE.tensor(ids.astype(np.int64))


def gradient_of(n, dim, seed=1):
    return DEVICE.tensor(np.random.default_rng(seed).standard_normal((n, dim)).astype(np.float32))


def target_gradients(dim, seed=2):
    """Of 5 anchors with 0 to 6 contexts and 3 negatives each."""
    rng = np.random.default_rng(seed)
    owner = np.repeat(np.arange(5), [3, 0, 6, 1, 2])
    n = len(owner) + 5 * 3
    return TargetGradients(
        DEVICE.tensor(rng.standard_normal(n).astype(np.float32)), gradient_of(5, dim), DEVICE.tensor(owner), 3
    )


def slow_sums(ids, rows, n_rows=N_ROWS):
    sums = np.zeros((n_rows, rows.shape[1]))
    np.add.at(sums, ids.cpu().numpy(), rows.cpu().numpy().astype(np.float64))
    return sums


@pytest.mark.parametrize("dim", [2, 8, 20, 64, 100, 256])
def test_gradients_are_added_up_by_row(dim, piece):
    n = 60 if dim > 64 else 150
    ids, rows = ids_of(n), gradient_of(n, dim)
    sums = torch.ones((N_ROWS, dim), device=DEVICE.device)
    add_rows(sums, ids, rows)
    np.testing.assert_allclose(sums.cpu(), 1 + slow_sums(ids, rows), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("n", [1, 3, 4, 5, 8, 63, 64, 65, 128, 129])
@pytest.mark.parametrize("different", [1, 2, 1000])
def test_runs_of_every_length_are_added_up_whole(n, different, piece):
    ids = DEVICE.tensor(np.sort(np.random.default_rng(n).integers(0, min(different, N_ROWS), n)).astype(np.int64))
    rows = gradient_of(n, 2)
    sums = DEVICE.zeros(N_ROWS, 2)
    add_rows(sums, ids, rows)
    np.testing.assert_allclose(sums.cpu(), slow_sums(ids, rows), rtol=1e-5, atol=1e-5)


def test_gradients_in_short_are_added_up_as_when_written_out(piece):
    short = target_gradients(12)
    ids = ids_of(len(short.scales))
    sums = DEVICE.zeros(N_ROWS, 12)
    add_rows(sums, ids, short)
    np.testing.assert_allclose(sums.cpu(), slow_sums(ids, short.dense()), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("short", [False, True])
def test_step_of_rows_is_the_step_of_torch(dtype, short, piece):
    dim = 12
    gradient = target_gradients(dim) if short else gradient_of(120, dim)
    ids = ids_of(len(gradient.scales) if short else 120)
    rng = np.random.default_rng(3)
    table = DEVICE.tensor(rng.standard_normal((N_ROWS, dim)).astype(np.float32)).to(dtype)
    memory = DEVICE.tensor(rng.uniform(0.1, 2, N_ROWS).astype(np.float32))
    expected = {"v.source": table.clone(), "v.source_memory": memory.clone()}
    LocalTables(expected, PLAIN).descend("v.source", "v.source_memory", ids, gradient, 0.3)
    before = table.clone()
    learn_rows(table, memory, ids, gradient, 0.3)
    torch.testing.assert_close(memory, expected["v.source_memory"], rtol=1e-5, atol=1e-6)
    if dtype == torch.float32:
        torch.testing.assert_close(table, expected["v.source"], rtol=1e-5, atol=1e-6)
    else:  # another last bit of a sum is another coin: the neighbour of the same number
        spacing = 2**-10 if dtype == torch.float16 else 2**-7
        torch.testing.assert_close(table.float(), expected["v.source"].float(), rtol=spacing, atol=1e-6)
        assert (table == expected["v.source"]).float().mean() > 0.5
    met = torch.zeros(N_ROWS, dtype=torch.bool, device=DEVICE.device)
    met[ids] = True
    assert torch.equal(table[~met], before[~met])
    assert (table[met] != before[met]).any(1).all()


def test_rounding_is_that_of_torch_bit_for_bit():
    """One occurrence per row and powers of two: both get the same sums, so they throw the same coins."""
    dim, ids = 4, torch.arange(N_ROWS, device=DEVICE.device)
    gradient = torch.full((N_ROWS, dim), 0.5, device=DEVICE.device)
    for dtype in (torch.float16, torch.bfloat16):
        table = DEVICE.tensor(np.random.default_rng(0).standard_normal((N_ROWS, dim)).astype(np.float32)).to(dtype)
        memory = torch.full((N_ROWS,), 0.75, device=DEVICE.device)  # 0.75 + 0.25 = 1
        expected = {"v.source": table.clone(), "v.source_memory": memory.clone()}
        LocalTables(expected, PLAIN).descend("v.source", "v.source_memory", ids, gradient, 0.01)
        learn_rows(table, memory, ids, gradient, 0.01)
        assert torch.equal(table, expected["v.source"])


def test_nothing_to_learn_from_changes_nothing():
    table, memory = torch.ones((3, 4), device=DEVICE.device), torch.ones(3, device=DEVICE.device)
    learn_rows(table, memory, torch.zeros(0, dtype=torch.int64, device=DEVICE.device), DEVICE.zeros(0, 4), 0.1)
    assert (table == 1).all()
    assert (memory == 1).all()


def test_result_repeats_bit_for_bit(piece):
    results = []
    for _ in range(2):
        sums = DEVICE.zeros(N_ROWS, 8)
        add_rows(sums, ids_of(150), gradient_of(150, 8))
        results.append(sums)
    assert torch.equal(*results)
