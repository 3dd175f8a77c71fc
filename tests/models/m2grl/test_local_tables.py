"""Tables of one process: rows out, one step of Adagrad per row back in, 32 or 16 bits."""

import numpy as np
import pytest

from prismrec.errors import ResourceError

torch = pytest.importorskip("torch")
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402

from prismrec.models.m2grl.local_tables import LocalTables, local_tables  # noqa: E402
from prismrec.models.m2grl.row_gradients import TargetGradients  # noqa: E402
from prismrec.models.m2grl.torch_device import TorchDevice  # noqa: E402

DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")),
]
N, DIM = 6, 4


@pytest.fixture(params=DEVICES)
def device(request):
    return TorchDevice(request.param)


def arrays(seed=0):
    """A view `v` with all that its tables have; numbers that bfloat16 holds exactly."""
    rng = np.random.default_rng(seed)
    state = {f"v.{side}": (rng.integers(-64, 64, (N, DIM)) / 32).astype(np.float32) for side in ("source", "target")}
    for name in ("source_memory", "target_memory", "aligned_source_memory", "aligned_target_memory"):
        state[f"v.{name}"] = rng.uniform(0.5, 2, N).astype(np.float32)
    return state


def expected_step(table, memory, ids, gradient, rate):
    """The formula, one row after the other, in double precision."""
    table, memory = table.astype(np.float64), memory.astype(np.float64)
    for row in np.unique(ids):
        total = gradient[ids == row].astype(np.float64).sum(0)
        memory[row] += np.mean(total**2)
        table[row] -= rate * total / np.sqrt(memory[row])
    return table, memory


def learn(tables, ids, gradient, device, rate=0.3, aligned=False, table="v.source"):
    found = tables.look_up({table: device.tensor(ids)}, rate, aligned=aligned)
    found.descend({table: gradient if isinstance(gradient, TargetGradients) else device.tensor(gradient)})


def repeated(seed=1):
    rng = np.random.default_rng(seed)
    return np.array([4, 1, 4, 0, 4, 1]), rng.standard_normal((6, DIM)).astype(np.float32)


def test_rows_come_in_the_order_asked_a_row_as_often_as_asked(device):
    state = arrays()
    found = local_tables(state, device).look_up({"v.source": device.tensor(np.array([5, 0, 5]))}, 0.1)
    np.testing.assert_array_equal(found.rows["v.source"].cpu(), state["v.source"][[5, 0, 5]])
    assert found.rows["v.source"].dtype == torch.float32


def test_no_rows_are_no_rows(device):
    tables, ids = local_tables(arrays(), device), np.zeros(0, np.int64)
    assert tables.look_up({"v.source": device.tensor(ids)}, 0.1).rows["v.source"].shape == (0, DIM)
    learn(tables, ids, np.zeros((0, DIM), np.float32), device)
    for name, array in arrays().items():
        np.testing.assert_array_equal(tables.state()[name], array)


def test_row_takes_one_step_with_the_sum_of_its_gradients(device):
    tables, before = local_tables(arrays(), device), arrays()
    ids, gradient = repeated()
    learn(tables, ids, gradient, device)
    table, memory = expected_step(before["v.source"], before["v.source_memory"], ids, gradient, 0.3)
    np.testing.assert_allclose(tables.state()["v.source"], table, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(tables.state()["v.source_memory"], memory, rtol=1e-5)
    for name in set(before) - {"v.source", "v.source_memory"}:
        np.testing.assert_array_equal(tables.state()[name], before[name])


def test_step_by_hand(device):
    state = {"v.source": np.array([[1.0, 2.0]], np.float32), "v.source_memory": np.array([1.5], np.float32)}
    tables = local_tables(state, device)
    learn(tables, np.array([0, 0]), np.array([[1.0, 0.0], [2.0, 1.0]], np.float32), device, rate=0.5)
    # the sum is (3, 1), its mean square 5, the accumulator 6.5
    assert tables.state()["v.source_memory"].tolist() == pytest.approx([6.5])
    assert tables.state()["v.source"][0].tolist() == pytest.approx([1 - 1.5 / 6.5**0.5, 2 - 0.5 / 6.5**0.5])


def test_aligned_step_uses_the_accumulator_of_the_inter_view_task(device):
    for table in ("v.source", "v.target"):
        tables, before = local_tables(arrays(), device), arrays()
        ids, gradient = repeated()
        learn(tables, ids, gradient, device, aligned=True, table=table)
        aligned = table.replace(".", ".aligned_") + "_memory"
        moved, memory = expected_step(before[table], before[aligned], ids, gradient, 0.3)
        np.testing.assert_allclose(tables.state()[table], moved, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(tables.state()[aligned], memory, rtol=1e-5)
        np.testing.assert_array_equal(tables.state()[f"{table}_memory"], before[f"{table}_memory"])


def test_gradients_in_short_take_the_step_of_gradients_written_out(device):
    rng = np.random.default_rng(2)
    owner = np.array([0, 0, 2])
    short = TargetGradients(
        device.tensor(rng.standard_normal(3 + 3 * 2).astype(np.float32)),
        device.tensor(rng.standard_normal((3, DIM)).astype(np.float32)), device.tensor(owner), 2,
    )  # fmt: skip
    ids = np.array([1, 4, 1, 0, 1, 4, 4, 2, 1])
    one, other = local_tables(arrays(), device), local_tables(arrays(), device)
    learn(one, ids, short, device)
    learn(other, ids, short.dense().cpu().numpy(), device)
    np.testing.assert_allclose(one.state()["v.source"], other.state()["v.source"], rtol=1e-5, atol=1e-6)


def test_no_tensor_as_tall_as_the_table_is_made(device, monkeypatch):
    """A step with few rows costs as much in a table of a million rows as in a small one."""
    tall = {"v.source": np.zeros((1_000_000, 2), np.float32), "v.source_memory": np.ones(1_000_000, np.float32)}
    tables = local_tables(tall, device)
    sizes: list[int] = []

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, function, kinds, args=(), kwargs=None):
            found = function(*args, **(kwargs or {}))
            if "index_put" not in str(function):  # gives back the table that it wrote into
                sizes.extend(t.numel() for t in torch.utils._pytree.tree_leaves(found) if isinstance(t, torch.Tensor))
            return found

    with Watch():
        learn(tables, np.array([999_999, 3, 3]), np.ones((3, 2), np.float32), device)
    assert sizes
    assert max(sizes) <= 12


@pytest.mark.parametrize("storage", ["fp16", "bf16"])
def test_sixteen_bits_are_half_the_memory_and_come_out_as_32(device, storage):
    tables = local_tables(arrays(), device, storage)
    assert tables.rows_at("v.source", device.range(1)).table.element_size() == 2
    for name, array in tables.state().items():
        assert array.dtype == np.float32
        np.testing.assert_array_equal(array, arrays()[name])


@pytest.mark.parametrize("storage", ["fp16", "bf16"])
def test_step_in_sixteen_bits_is_that_of_32_but_for_the_last_bit(device, storage):
    tables, before = local_tables(arrays(), device, storage), arrays()
    ids, gradient = repeated()
    learn(tables, ids, gradient, device)
    table, memory = expected_step(before["v.source"], before["v.source_memory"], ids, gradient, 0.3)
    spacing = 2**-10 if storage == "fp16" else 2**-7
    np.testing.assert_allclose(tables.state()["v.source"], table, rtol=spacing, atol=1e-4)
    np.testing.assert_allclose(tables.state()["v.source_memory"], memory, rtol=1e-5)
    assert (tables.state()["v.source"][[0, 1, 4]] != before["v.source"][[0, 1, 4]]).any(1).all()


def test_many_small_steps_add_up_in_sixteen_bits(device):
    """Each is a tenth of what bfloat16 can tell apart: rounded to the nearest, none of them would move anything."""
    n, steps = 500, 100
    state = {"v.source": np.ones((n, 2), np.float32), "v.source_memory": np.full(n, 1e6, np.float32)}
    tables = local_tables(state, device, "bf16")
    for _ in range(steps):  # 1 / sqrt(1e6) of a gradient of 1, times the rate, is 2^-7 / 10
        learn(tables, np.arange(n), np.full((n, 2), -1, np.float32), device, rate=1000 * 2**-7 / 10)
    moved = tables.state()["v.source"] - 1
    assert moved.mean() == pytest.approx(steps * 2**-7 / 10, rel=0.02)


@pytest.mark.parametrize("storage", ["fp32", "fp16", "bf16"])
def test_training_goes_on_from_a_state_bit_for_bit(device, storage):
    tables, (ids, gradient) = local_tables(arrays(), device, storage), repeated()
    learn(tables, ids, gradient, device)
    kept = {name: array.copy() for name, array in tables.state().items()}
    learn(tables, ids, gradient, device)
    resumed = local_tables(arrays(seed=9), device, storage)
    resumed.restore(kept)
    for name, array in kept.items():
        assert resumed.state()[name].tobytes() == array.tobytes(), name
    learn(resumed, ids, gradient, device)
    for name, array in tables.state().items():
        assert resumed.state()[name].tobytes() == array.tobytes(), name


def test_arrays_are_copied(device):
    state = arrays()
    ids, gradient = repeated()
    learn(local_tables(state, device), ids, gradient, device)
    for name, array in arrays().items():
        np.testing.assert_array_equal(state[name], array)


def test_tensors_are_learned_in_place(device):
    state = {name: device.tensor(array) for name, array in arrays().items()}
    ids, gradient = repeated()
    learn(LocalTables(state, device), ids, gradient, device)
    assert (state["v.source"].cpu().numpy() != arrays()["v.source"]).any()


def test_tables_beyond_the_device_are_refused_with_both_figures_before_they_are_made(device, monkeypatch):
    monkeypatch.setattr(device, "free_bytes", lambda: 250)
    n_bytes = 2 * N * DIM * 4 + 4 * N * 4
    assert n_bytes > 250
    message = r"embedding tables in fp32 take 0\.00 GB, and .* has 0\.00 GB free: lower model\.embedding_dim, .*storage"
    with pytest.raises(ResourceError, match=message):
        local_tables(arrays(), device)
    monkeypatch.setattr(device, "free_bytes", lambda: n_bytes - 2 * N * DIM * 2)
    local_tables(arrays(), device, "fp16")  # half of it fits
    with pytest.raises(ResourceError, match="embedding tables in fp32"):
        local_tables(arrays(), device, "fp32")
