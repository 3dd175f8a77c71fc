"""The torch step against the compiled one, against a slow reference, and against finite differences."""

import builtins
import math

import numpy as np
import pytest

from prismrec.errors import ConfigError, MissingExtraError
from prismrec.models.m2grl import torch_step
from prismrec.models.m2grl.batches import SkipGramBatch
from prismrec.models.m2grl.cpu import learn_skip_gram, skip_gram_gradients

torch = pytest.importorskip("torch")
from prismrec.models.m2grl.device_batches import parts_of, to_device  # noqa: E402
from prismrec.models.m2grl.local_tables import LocalTables  # noqa: E402
from prismrec.models.m2grl.row_gradients import Rows  # noqa: E402
from prismrec.models.m2grl.torch_device import TorchDevice  # noqa: E402
from prismrec.models.m2grl.torch_engine import TorchEngine  # noqa: E402
from prismrec.models.m2grl.torch_step import skip_gram  # noqa: E402

N_SOURCES, N_TARGETS, DIM = 30, 40, 8
DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")),
]


@pytest.fixture(autouse=True)
def one_thread():
    """Threads that meet a thousand times a second take their time on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Step:
    """The step on two plain tables, called like the compiled one."""

    anchors_per_update = torch_step.ANCHORS_PER_UPDATE

    def __init__(self, device, deterministic=False):
        self.device = TorchDevice(device, deterministic)
        self.tensor = self.device.tensor

    def learn_skip_gram(self, source, target, source_memory, target_memory, offsets, batch, learning_rate, weight=1.0):
        named = {
            "v.source": source, "v.target": target, "v.source_memory": source_memory, "v.target_memory": target_memory,
        }  # fmt: skip
        engine = TorchEngine(
            LocalTables(named, self.device), {}, {"v": len(target)}, self.device,
            anchors_per_update=self.anchors_per_update,
        )  # fmt: skip
        return float(engine.learn_intra("v", batch, offsets.cpu().numpy(), learning_rate, weight))

    def skip_gram_gradients(self, source, target, offsets, batch, weight=1.0):
        """Summed by row, as the compiled function gives them."""
        sums, loss = [torch.zeros_like(table) for table in (source, target)], 0.0
        n_parts = -(-len(batch.anchors) // self.anchors_per_update)
        for part in parts_of(to_device(batch, self.device), self.anchors_per_update, n_parts, self.device):
            rows = Rows(source, part.anchors), Rows(target, part.targets)
            found = skip_gram(*rows, offsets, part, weight, self.device)
            self.device.add_rows(sums[0], part.anchors, found.anchors)
            self.device.add_rows(sums[1], part.targets, found.targets.dense())
            loss += float(found.loss)
        return loss, *sums


@pytest.fixture(params=DEVICES)
def step(request):
    return Step(request.param)


def random_tables(seed=0, scale=0.7):
    """source, target, source_memory, target_memory, target_offsets."""
    rng = np.random.default_rng(seed)
    return (
        (scale * rng.standard_normal((N_SOURCES, DIM))).astype(np.float32),
        (scale * rng.standard_normal((N_TARGETS, DIM))).astype(np.float32),
        rng.uniform(0.5, 2.0, N_SOURCES).astype(np.float32),
        rng.uniform(0.5, 2.0, N_TARGETS).astype(np.float32),
        rng.standard_normal(N_TARGETS).astype(np.float32),
    )


def random_batch(n_anchors=50, n_negatives=6, seed=1):
    """Rows repeat, contexts repeat, some negatives are contexts; an anchor has 1 to 4 contexts."""
    rng = np.random.default_rng(seed)
    offsets = np.concatenate([[0], np.cumsum(rng.integers(1, 5, n_anchors))]).astype(np.int64)
    return SkipGramBatch(
        rng.integers(0, N_SOURCES, n_anchors).astype(np.int32),
        offsets,
        rng.integers(0, N_TARGETS, offsets[-1]).astype(np.int32),
        rng.integers(0, N_TARGETS, (n_anchors, n_negatives)).astype(np.int32),
    )


def batch_of(anchors, contexts, negatives):
    """A batch from lists: the contexts of each anchor, and its negatives."""
    offsets = np.cumsum([0, *map(len, contexts)]).astype(np.int64)
    flat = [row for rows in contexts for row in rows]
    return SkipGramBatch(int32(anchors), offsets, int32(flat), int32([list(rows) for rows in negatives]))


def int32(values):
    return np.asarray(values, np.int32)


def float32(values):
    return np.asarray(values, np.float32)


def slow_loss(source, target, offsets, batch):
    """The formula of the module docstring, one term after the other, in double precision."""
    source, target, offsets = (np.asarray(a, np.float64) for a in (source, target, offsets))
    loss = 0.0
    for i, anchor in enumerate(batch.anchors):
        contexts = batch.contexts[batch.context_offsets[i] : batch.context_offsets[i + 1]]
        for row in contexts:
            loss += math.log1p(math.exp(-(source[anchor] @ target[row] + offsets[row])))
        for row in batch.negatives[i]:
            if row not in contexts:
                loss += len(contexts) * math.log1p(math.exp(source[anchor] @ target[row] + offsets[row]))
    return loss


def numpy_gradients(step, source, target, offsets, batch, weight=1.0):
    loss, *gradients = step.skip_gram_gradients(
        step.tensor(source), step.tensor(target), step.tensor(offsets), batch, weight
    )
    return loss, *(gradient.cpu().numpy() for gradient in gradients)


def on_device(step, tables):
    return [step.tensor(array) for array in tables]


def learn(kernel, tables, batch, learning_rate, weight=1.0):
    """Call either implementation: they take the same arguments in the same order."""
    return kernel(*tables, batch, learning_rate, weight)


def as_numpy(tables):
    return [tensor.cpu().numpy() for tensor in tables]


def test_loss_of_one_anchor_by_hand(step):
    source, target = float32([[1.0, 0.0]]), float32([[0.0, 5.0], [math.log(3.0), 1.0], [-math.log(3.0), 1.0]])
    batch = batch_of([0], [[0, 1]], [[2, 1]])
    loss, *_ = numpy_gradients(step, source, target, np.zeros(3, np.float32), batch)
    # s(0) = 1/2 and s(log 3) = 3/4 pull; the first negative counts twice, with 1 - s(-log 3) = 3/4; the second is a
    # context and counts not at all
    assert loss == pytest.approx(math.log(2) + math.log(4 / 3) + 2 * math.log(4 / 3), rel=1e-6)


def test_offset_is_added_to_the_logit(step):
    batch = batch_of([0], [[0]], [[1]])
    zeros, offsets = np.zeros((2, 2), np.float32), float32([math.log(3.0), -math.log(7.0)])
    loss, *_ = numpy_gradients(step, zeros, zeros, offsets, batch)
    assert loss == pytest.approx(math.log(4 / 3) + math.log(8 / 7), rel=1e-6)


@pytest.mark.parametrize("weight", [1.0, 0.37])
def test_loss_and_gradients_equal_those_of_the_compiled_step(step, weight):
    source, target, _, _, offsets = random_tables()
    batch = random_batch()
    expected = skip_gram_gradients(source, target, offsets, batch, weight)
    found = numpy_gradients(step, source, target, offsets, batch, weight)
    assert found[0] == pytest.approx(expected[0], rel=1e-5)
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(found[2], expected[2], rtol=1e-5, atol=1e-5)


def test_loss_equals_the_slow_reference(step):
    source, target, _, _, offsets = random_tables()
    batch = random_batch()
    assert numpy_gradients(step, source, target, offsets, batch)[0] == pytest.approx(
        slow_loss(source, target, offsets, batch), rel=1e-5
    )


def test_gradients_equal_finite_differences_of_the_slow_reference(step):
    source, target, _, _, offsets = random_tables()
    batch = random_batch(n_anchors=12)
    _, *gradients = numpy_gradients(step, source, target, offsets, batch)
    tables = source, target = source.astype(np.float64), target.astype(np.float64)
    for table, gradient in zip(tables, gradients, strict=True):
        for place in np.ndindex(table.shape):
            middle = table[place]
            table[place] = middle + 1e-5
            above = slow_loss(source, target, offsets, batch)
            table[place] = middle - 1e-5
            below = slow_loss(source, target, offsets, batch)
            table[place] = middle
            assert gradient[place] == pytest.approx((above - below) / 2e-5, rel=1e-4, abs=1e-5)


def test_cutting_a_batch_into_parts_changes_no_gradient(step, monkeypatch):
    source, target, _, _, offsets = random_tables()
    batch = random_batch()
    whole = numpy_gradients(step, source, target, offsets, batch)
    monkeypatch.setattr(step, "anchors_per_update", 7)
    parts = numpy_gradients(step, source, target, offsets, batch)
    assert parts[0] == pytest.approx(whole[0], rel=1e-6)
    for one, other in zip(parts[1:], whole[1:], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


def distinct_batch():
    """No row twice."""
    targets = np.random.default_rng(5).permutation(N_TARGETS)
    contexts = [targets[0:2], targets[2:3], targets[3:6], targets[6:8]]
    return batch_of([4, 9, 0, 7], contexts, targets[8:24].reshape(4, 4))


def test_learning_moves_tables_and_memories_as_the_compiled_step_does_where_no_row_repeats(step):
    expected, tables = random_tables(), on_device(step, random_tables())
    batch = distinct_batch()
    expected_loss = learn(learn_skip_gram, expected, batch, 0.3, 0.6)
    assert learn(step.learn_skip_gram, tables, batch, 0.3, 0.6) == pytest.approx(expected_loss, rel=1e-5)
    for one, other in zip(as_numpy(tables), expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    for one, before in list(zip(as_numpy(tables), random_tables(), strict=True))[:4]:
        assert (one != before).any()


def test_learning_part_by_part_is_learning_one_part_after_the_other(step, monkeypatch):
    batch = random_batch(n_anchors=20)
    monkeypatch.setattr(step, "anchors_per_update", 1)
    tables = on_device(step, random_tables())
    loss = learn(step.learn_skip_gram, tables, batch, 0.1)
    one_by_one = on_device(step, random_tables())
    total = 0.0
    for i in range(20):
        begin, end = batch.context_offsets[i : i + 2]
        single = batch_of(batch.anchors[i : i + 1], [batch.contexts[begin:end]], batch.negatives[i : i + 1])
        total += learn(step.learn_skip_gram, one_by_one, single, 0.1)
    assert loss == pytest.approx(total, rel=1e-6)
    for one, other in zip(as_numpy(tables), as_numpy(one_by_one), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_row_that_repeats_takes_one_step_with_the_sum_of_its_gradients(step):
    batch = batch_of([0, 1], [[2], [2]], [[], []])
    source, target, _, target_memory, offsets = random_tables()
    tables = on_device(step, random_tables())
    learn(step.learn_skip_gram, tables, batch, 0.1, 0.5)
    ascent = sum(0.5 / (1 + np.exp(source[i] @ target[2] + offsets[2])) * source[i] for i in (0, 1))
    memory = target_memory[2] + np.mean(ascent**2)
    assert as_numpy(tables)[3][2] == pytest.approx(memory, rel=1e-5)
    np.testing.assert_allclose(as_numpy(tables)[1][2], target[2] + 0.1 * ascent / np.sqrt(memory), rtol=1e-5)


def test_small_table_whose_rows_all_repeat_does_not_diverge(step):
    rng = np.random.default_rng(2)
    batch = batch_of(
        rng.integers(0, 3, 1500), rng.integers(0, 3, (1500, 1)).tolist(), rng.integers(0, 3, (1500, 5)).tolist()
    )
    source, target, offsets = np.full((3, DIM), 0.3), np.zeros((3, DIM)), np.zeros(3)
    memories = np.full(3, 0.1)
    tables = on_device(step, [float32(a) for a in (source, target, memories, memories, offsets)])
    losses = [learn(step.learn_skip_gram, tables, batch, 0.2) for _ in range(20)]
    assert max(losses) < 1.2 * losses[0]
    assert losses[-1] < losses[0]


def test_training_lowers_the_loss_as_far_as_the_compiled_step(step, monkeypatch):
    monkeypatch.setattr(step, "anchors_per_update", 16)
    expected, tables = random_tables(scale=0.1), on_device(step, random_tables(scale=0.1))
    batch = random_batch(n_anchors=400)
    compiled = [learn(learn_skip_gram, expected, batch, 0.1) for _ in range(40)]
    found = [learn(step.learn_skip_gram, tables, batch, 0.1) for _ in range(40)]
    assert found[-1] < 0.8 * found[0]
    assert found[-1] == pytest.approx(compiled[-1], rel=0.03)


def test_deterministic_learning_is_bit_equal(step):
    results = []
    for _ in range(2):
        exact = Step(step.device.device.type, deterministic=True)
        tables = on_device(exact, random_tables())
        learn(exact.learn_skip_gram, tables, random_batch(n_anchors=3000), 0.1)
        results.append(as_numpy(tables))
    for one, other in zip(*results, strict=True):
        assert one.tobytes() == other.tobytes()


def test_deterministic_mode_is_no_setting_that_stays(step):
    exact = Step(step.device.device.type, deterministic=True)
    learn(exact.learn_skip_gram, on_device(exact, random_tables()), random_batch(), 0.1)
    assert not torch.are_deterministic_algorithms_enabled()


def test_empty_batch_changes_nothing(step):
    tables = on_device(step, random_tables())
    empty = SkipGramBatch(
        np.zeros(0, np.int32), np.zeros(1, np.int64), np.zeros(0, np.int32), np.zeros((0, 5), np.int32)
    )
    assert learn(step.learn_skip_gram, tables, empty, 0.1) == 0.0
    for one, other in zip(as_numpy(tables), random_tables(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_cuda_without_a_device_is_an_error_and_no_fallback(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=r'training\.device = "cuda", but torch finds no CUDA device'):
        TorchDevice("cuda")


def test_missing_torch_names_the_extra(monkeypatch):
    original = builtins.__import__

    def without_torch(name, *args, **kwargs):
        if name == "torch":
            raise ImportError(name)
        return original(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_torch)
    with pytest.raises(MissingExtraError, match=r'needs torch: pip install "prismrec\[neural\]"'):
        TorchDevice("cpu")
