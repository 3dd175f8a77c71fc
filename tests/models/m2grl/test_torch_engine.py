"""The torch engine against the compiled one, alone and inside the model and the training loop."""

import numpy as np
import pytest

from prismrec.config import build
from prismrec.data.prepared import PreparedData, View
from prismrec.data.sequences import Sequences
from prismrec.data.training_data import training_data
from prismrec.data.vocabulary import Vocabulary
from prismrec.errors import ConfigError
from prismrec.models.m2grl.batches import SkipGramBatch
from prismrec.models.m2grl.config import M2GRLConfig
from prismrec.models.m2grl.cpu_engine import CpuEngine
from prismrec.models.m2grl.model import M2GRL
from prismrec.models.m2grl.sharding import ShardingSettings
from prismrec.models.m2grl.tables import SIDES, initial_state

torch = pytest.importorskip("torch")
from prismrec.models.m2grl.device_sampler import DeviceSampler  # noqa: E402
from prismrec.models.m2grl.torch_device import TorchDevice  # noqa: E402
from prismrec.models.m2grl.torch_engine import local_engine  # noqa: E402

N_NODES = {"item": 40, "category": 9}
DIM = 8
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


@pytest.fixture(params=DEVICES)
def device(request):
    return request.param


def random_state():
    """Arrays of the right shapes in which nothing is special: no zeros, no identity."""
    rng = np.random.default_rng(4)
    state = initial_state(N_NODES, DIM, ["category"], seed=0)
    for name, array in state.items():
        noise = rng.uniform(0.1, 0.9, array.shape) if "memory" in name else rng.normal(0, 0.5, array.shape)
        array += noise.astype(np.float32)
    return state


def inter_batch():
    """Distinct items, repeating nodes, some negatives equal to the node."""
    rng = np.random.default_rng(6)
    return SkipGramBatch(
        rng.permutation(N_NODES["item"])[:25].astype(np.int32),
        np.arange(26, dtype=np.int64),
        rng.integers(0, 6, 25).astype(np.int32),
        rng.integers(0, 7, (25, 4)).astype(np.int32),
    )


def intra_batch():
    """No row twice."""
    rows = np.random.default_rng(7).permutation(N_NODES["item"]).astype(np.int32)
    return SkipGramBatch(rows[:3], np.array([0, 2, 3, 5]), rows[:5], rows[5:17].reshape(3, 4))


def assert_close(engine, other):
    assert set(engine.state()) == set(other.state())
    for name, array in engine.state().items():
        np.testing.assert_allclose(array, other.state()[name], rtol=2e-5, atol=2e-6, err_msg=name)


@pytest.mark.parametrize("side", SIDES)
def test_inter_view_step_equals_the_compiled_one(device, side):
    compiled, found = CpuEngine(random_state()), local_engine(random_state(), TorchDevice(device))
    losses = [float(engine.learn_inter("category", side, inter_batch(), 0.3, 0.7)) for engine in (compiled, found)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert_close(found, compiled)
    before = random_state()
    changed = {name for name, array in found.state().items() if (array != before[name]).any()}
    assert changed == {
        f"item.{side}", f"item.{side}_memory", f"category.{side}", f"category.aligned_{side}_memory",
        f"category.alignment_{side}", f"category.alignment_{side}_memory",
    }  # fmt: skip


def test_intra_view_step_equals_the_compiled_one(device):
    offsets = np.random.default_rng(8).standard_normal(N_NODES["item"]).astype(np.float32)
    compiled, found = CpuEngine(random_state()), local_engine(random_state(), TorchDevice(device))
    losses = [float(engine.learn_intra("item", intra_batch(), offsets, 0.3, 0.7)) for engine in (compiled, found)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert_close(found, compiled)


def test_engine_copies_what_it_begins_with_and_takes_over_what_it_is_given(device):
    state = random_state()
    engine = local_engine(state, TorchDevice(device))
    engine.learn_inter("category", "source", inter_batch(), 0.3, 0.7)
    for name, array in random_state().items():
        np.testing.assert_array_equal(state[name], array)
    engine.restore(state)
    for name, array in engine.state().items():
        np.testing.assert_array_equal(array, state[name])


def test_unknown_device_is_refused():
    with pytest.raises(ConfigError, match=r"training\.device must be cpu or cuda, got 'tpu'"):
        TorchDevice("tpu")


def planted_data():
    """Two families of items that never meet, each with a category of its own."""
    rng = np.random.default_rng(0)
    families = rng.integers(0, 2, 400)
    sessions = Sequences.from_lists([rng.integers(0, 10, 8) + 10 * family for family in families])
    categories = Sequences.from_lists([[family] for family in families])
    nodes = Sequences.from_lists([[item // 10] for item in range(20)])
    view = View("category", Vocabulary.from_ids(["a", "b"]), nodes, categories)
    items, users = Vocabulary.from_ids(list(range(20))), Vocabulary.from_ids(list(range(400)))
    return PreparedData(items, sessions, users, sessions, {"category": view})


def trained(implementation, device="cpu", seed=0, anchors_per_update=2048):
    config = build(M2GRLConfig, {"embedding_dim": DIM, "popularity_offset": False})
    data = training_data(planted_data(), "sessions")
    sharding = ShardingSettings(anchors_per_update=anchors_per_update)
    model = M2GRL(config, data, seed=seed, n_threads=1, implementation=implementation, device=device, sharding=sharding)
    for epoch in range(5):
        losses = model.step(epoch, 0, epoch / 5)
    return model, {task: loss.mean for task, loss in losses.items()}


def test_model_learns_the_same_with_either_engine(device):
    _, expected = trained("numba")
    model, losses = trained("torch", device, anchors_per_update=16)  # 20 items: with more, each would hardly ever move
    assert losses == pytest.approx(expected, rel=0.15)
    item = model.tables()["item"]
    scores = item.source @ item.target.T
    assert scores[:10, :10].min() > scores[:10, 10:].max()
    assert scores[10:, 10:].min() > scores[10:, :10].max()


def test_model_learns_bit_for_bit_the_same_from_examples_drawn_on_the_device():
    config = build(M2GRLConfig, {"embedding_dim": DIM})
    data = training_data(planted_data(), "sessions")
    states = []
    for on_device in (False, True):
        model = M2GRL(config, data, n_threads=1, implementation="torch")
        if on_device:
            model._sampler = DeviceSampler(config, data, TorchDevice("cpu"))
        losses = [model.step(epoch, step, 0.1) for epoch in range(2) for step in range(model.steps_per_epoch)]
        states.append((losses, model.state()))
    assert states[0][0] == states[1][0]
    for name, array in states[0][1].items():
        assert array.tobytes() == states[1][1][name].tobytes(), name


def test_popularity_offsets_are_brought_to_the_device_once(monkeypatch):
    engine = local_engine(random_state(), TorchDevice("cpu"))
    offsets, brought = np.zeros(N_NODES["item"], np.float32), []
    original = TorchDevice.tensor

    def counted(device, array):
        brought.append(array is offsets)
        return original(device, array)

    monkeypatch.setattr(TorchDevice, "tensor", counted)
    for _ in range(3):
        engine.learn_intra("item", intra_batch(), offsets, 0.1, 1.0)
    assert sum(brought) == 1
    later = np.ones(N_NODES["item"], np.float32)
    changed = float(engine.learn_intra("item", intra_batch(), later, 0.0, 1.0))
    assert changed != float(engine.learn_intra("item", intra_batch(), offsets, 0.0, 1.0))


@pytest.mark.parametrize("storage", ["fp32", "fp16", "bf16"])
def test_steps_with_triton_are_those_with_torch(storage):
    pytest.importorskip("triton")
    name = "cuda" if torch.cuda.is_available() else "cpu"
    engines = [
        local_engine(random_state(), TorchDevice(name, kernels=kernels), anchors_per_update=10, storage=storage)
        for kernels in ("torch", "triton")
    ]
    offsets = np.random.default_rng(8).standard_normal(N_NODES["item"]).astype(np.float32)
    losses = [
        (
            float(engine.learn_intra("item", intra_batch(), offsets, 0.3, 0.7)),
            float(engine.learn_inter("category", "source", inter_batch(), 0.3, 0.7)),
        )
        for engine in engines
    ]
    tolerance = {"fp32": 1e-5, "fp16": 2e-3, "bf16": 2e-2}[storage]
    assert losses[1] == pytest.approx(losses[0], rel=tolerance)
    for array_name, array in engines[0].state().items():
        np.testing.assert_allclose(
            array, engines[1].state()[array_name], rtol=2 * tolerance, atol=tolerance, err_msg=array_name
        )


def test_notes_say_on_what_and_with_what_is_computed():
    assert local_engine(random_state(), TorchDevice("cpu")).notes == ("computing on cpu with torch",)
    assert M2GRL(build(M2GRLConfig, {}), training_data(planted_data(), "sessions")).notes == ()


def test_same_seed_same_vectors_other_seed_other_vectors():
    (one, _), (same, _), (other, _) = trained("torch"), trained("torch"), trained("torch", seed=1)
    for name, array in one.state().items():
        assert array.tobytes() == same.state()[name].tobytes(), name
    assert (one.state()["item.source"] != other.state()["item.source"]).any()
