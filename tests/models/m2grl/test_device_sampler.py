"""The device sampler against the compiled one: the very same batches, whatever the shapes."""

from importlib.util import find_spec

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prismrec.config import build
from prismrec.data.sequences import Sequences
from prismrec.data.training_data import TrainingData, edges_of
from prismrec.errors import ConfigError, ResourceError
from prismrec.models.m2grl.batches import ROWS_PER_CHUNK
from prismrec.models.m2grl.config import M2GRLConfig
from prismrec.models.m2grl.sampler import Sampler

torch = pytest.importorskip("torch")
from prismrec.models.m2grl.device_sampler import DeviceSampler  # noqa: E402
from prismrec.models.m2grl.torch_device import TorchDevice  # noqa: E402

DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")),
]
KERNELS = [
    *DEVICES,
    pytest.param(
        "cpu with triton", marks=pytest.mark.skipif(find_spec("triton") is None, reason="Triton is not installed")
    ),
]
DTYPES = {"anchors": torch.int32, "context_offsets": torch.int64, "contexts": torch.int32, "negatives": torch.int32}
N_ITEMS, N_NODES = 12, 4


@pytest.fixture(params=KERNELS)
def device(request):
    name, _, triton = request.param.partition(" with ")
    return TorchDevice(name, kernels="triton" if triton else "auto")


def data_of(item_rows, node_rows=(), item_nodes=None):
    """Training data with an item view and a side view "c"; item i has the nodes `item_nodes[i]`."""
    nodes = Sequences.from_lists(item_nodes or [[i % N_NODES] for i in range(N_ITEMS)])
    sequences = {"item": Sequences.from_lists(item_rows), "c": Sequences.from_lists(node_rows or [[0, 1, 2, 3]])}
    counts = {
        "item": np.bincount(sequences["item"].values, minlength=N_ITEMS) + 1,
        "c": np.bincount(sequences["c"].values, minlength=N_NODES),
    }
    return TrainingData({"item": N_ITEMS, "c": N_NODES}, sequences, counts, {"c": edges_of(nodes)}, {"c": nodes})


def many_rows(n, longest=9, n_items=N_ITEMS, seed=0):
    """Rows of 0 to `longest` items."""
    rng = np.random.default_rng(seed)
    return [rng.integers(0, n_items, rng.integers(0, longest + 1)) for _ in range(n)]


def assert_same(found, expected):
    for name in expected._fields:
        tensor = getattr(found, name)
        assert tensor.dtype == DTYPES[name], name
        assert tensor.shape == getattr(expected, name).shape, name
        np.testing.assert_array_equal(tensor.cpu().numpy(), getattr(expected, name), err_msg=name)


def assert_same_batches(data, device, rows=None, stream=(3, 1, 4, 0), **values):
    config = build(M2GRLConfig, values)
    expected, found = Sampler(config, data), DeviceSampler(config, data, device)
    for view in ("item", "c"):
        assert found.n_sequences(view) == expected.n_sequences(view)
        chosen = np.arange(expected.n_sequences(view)) if rows is None or view == "c" else np.asarray(rows, np.int64)
        assert_same(found.intra(view, device.tensor(chosen), stream), expected.intra(view, chosen, stream))
    assert found.n_edges("c") == expected.n_edges("c")
    edges = np.random.default_rng(0).permutation(expected.n_edges("c"))
    assert_same(found.inter("c", device.tensor(edges), stream), expected.inter("c", edges, stream))


@settings(max_examples=60)
@given(
    rows=st.lists(st.lists(st.integers(0, N_ITEMS - 1), max_size=9), min_size=1, max_size=9),
    window=st.integers(1, 7),
    context=st.sampled_from(["forward", "symmetric"]),
    power=st.sampled_from([0.0, 0.5, 1.0]),
    negatives=st.integers(1, 6),
    stream=st.tuples(*[st.integers(0, 2**32 - 1)] * 4),
    data=st.data(),
)
def test_any_batch_equals_the_compiled_one(rows, window, context, power, negatives, stream, data):
    chosen = data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=12))
    assert_same_batches(
        data_of(rows), TorchDevice("cpu"), chosen, stream,
        window=window, context=context, negative_power=power, negatives=negatives,
    )  # fmt: skip


@settings(max_examples=40)
@given(
    item_nodes=st.lists(
        st.lists(st.integers(0, N_NODES - 1), max_size=3, unique=True), min_size=N_ITEMS, max_size=N_ITEMS
    ),
    share=st.floats(0.01, 1),
    power=st.sampled_from([0.0, 0.5, 1.0]),
    seed=st.integers(0, 1000),
)
def test_hard_negatives_equal_the_compiled_ones_whatever_the_groups(item_nodes, share, power, seed):
    data = data_of(many_rows(20, seed=seed), item_nodes=item_nodes)
    assert_same_batches(
        data, TorchDevice("cpu"), stream=(seed,), hard_negatives=share, hard_view="c", negative_power=power
    )


@pytest.mark.parametrize("context", ["forward", "symmetric"])
@pytest.mark.parametrize("hard", [0.0, 0.5])
def test_batches_of_many_chunks_equal_the_compiled_ones(device, context, hard):
    rows = many_rows(3 * ROWS_PER_CHUNK + 7, longest=30)
    data = data_of(
        rows, many_rows(200, n_items=N_NODES), item_nodes=[[i % N_NODES, (i + 1) % N_NODES] for i in range(N_ITEMS)]
    )
    order = np.random.default_rng(1).permutation(len(rows))
    values = {"hard_negatives": hard, "hard_view": "c"} if hard else {}
    for seed in range(3):
        assert_same_batches(data, device, order, (seed, 2, 5, 1), context=context, window=5, **values)


@pytest.mark.parametrize("context", ["forward", "symmetric"])
def test_nothing_chosen_and_nothing_to_learn_from_give_empty_batches(device, context):
    for rows in ([], [1, 2], [0, 1, 2]):
        assert_same_batches(data_of([[1, 2, 3], [], [4]]), device, rows, context=context)


def test_one_item_alone_is_its_own_context_and_negative(device):
    nodes = Sequences.from_lists([[0]])
    counts = {"item": np.array([6]), "c": np.array([2])}
    sequences = {"item": Sequences.from_lists([[0, 0, 0], [0, 0, 0]]), "c": Sequences.from_lists([[0], [0]])}
    data = TrainingData({"item": 1, "c": 1}, sequences, counts, {"c": edges_of(nodes)}, {"c": nodes})
    assert_same_batches(data, device)


def test_side_view_without_edges_gives_empty_batches(device):
    assert_same_batches(data_of([[1, 2, 3]], item_nodes=[[]] * N_ITEMS), device)


def test_items_in_the_last_of_two_billion_places_are_drawn_exactly(device):
    """Alias tables of nearly 2^31 nodes: the product with 32 random bits must not run over."""
    from prismrec.models.m2grl.torch_random import below

    bits = np.array([2**64 - 1, 2**63, 2**32 - 1, 2**32, 0], np.uint64)
    n = 2**31 - 1
    expected = [(int(b) >> 32) * n >> 32 for b in bits]
    assert below(device.tensor(bits.view(np.int64)), n).tolist() == expected
    assert expected[0] == n - 1


def test_order_of_an_epoch_is_brought_over_once_in_32_bits(device):
    sampler = DeviceSampler(build(M2GRLConfig, {}), data_of([[1, 2, 3], [4, 5]]), device)
    order = sampler.order(np.array([1, 0]), "item")
    assert order.dtype == torch.int32
    assert order.device.type == device.device.type
    assert order.tolist() == [1, 0]


def test_sequences_that_do_not_fit_are_streamed_and_the_batches_stay_the_same(device, monkeypatch):
    monkeypatch.setattr(device, "free_bytes", lambda: 1000)
    data = data_of(many_rows(100))
    config = build(M2GRLConfig, {})
    expected, found = Sampler(config, data), DeviceSampler(config, data, device)
    assert not found.resident
    order = np.random.default_rng(1).permutation(100)
    placed = found.order(order, "item")
    assert placed is order  # read on the host, where the sequences are
    assert_same(found.intra("item", placed[:30], (1, 2)), expected.intra("item", order[:30], (1, 2)))
    edges = found.order(np.arange(24), "item-c")
    assert_same(found.inter("c", edges, (1, 2)), expected.inter("c", np.arange(24), (1, 2)))


def test_where_the_sequences_lie_is_said(device, monkeypatch):
    data, config = data_of(many_rows(100)), build(M2GRLConfig, {})
    (note,) = DeviceSampler(config, data, device).notes
    assert "GB) lie on " in note
    monkeypatch.setattr(device, "free_bytes", lambda: 1000)
    (note,) = DeviceSampler(config, data, device).notes
    assert "stay in host memory, those of each step are brought over" in note


def test_too_little_memory_for_the_tables_themselves_is_an_error(device, monkeypatch):
    monkeypatch.setattr(device, "free_bytes", lambda: 200)  # 8 bytes for each of 16 nodes and of 12 edges
    with pytest.raises(ResourceError, match=r"alias tables and edges take 0\.00 GB, .* leave out a view"):
        DeviceSampler(build(M2GRLConfig, {}), data_of([[1, 2]]), device)


def test_hard_view_that_is_no_view_is_refused(device):
    config = build(M2GRLConfig, {"hard_negatives": 0.5, "hard_view": "shop"})
    with pytest.raises(ConfigError, match=r"model\.hard_view = 'shop' is no view; views are c"):
        DeviceSampler(config, data_of([[1, 2]]), device)
