"""Which engine is built for which settings, and which settings fit none."""

import numpy as np
import pytest

from prismrec.errors import ConfigError
from prismrec.models.m2grl.cpu_engine import CpuEngine
from prismrec.models.m2grl.engines import Shape, build_engine
from prismrec.models.m2grl.sharding import ShardingSettings
from prismrec.models.m2grl.tables import initial_state

SHAPE = Shape({"item": 9, "shop": 3}, 4, ("shop",), seed=3)


class TwoProcesses:
    rank, size = 0, 2


def test_every_engine_begins_with_the_same_arrays():
    pytest.importorskip("torch")
    expected = initial_state(SHAPE.n_nodes, 4, ["shop"], seed=3)
    for implementation in ("numba", "torch"):
        engine = build_engine(SHAPE, implementation)
        assert engine.own_rows() == {}
        assert {name: array.tobytes() for name, array in engine.state().items()} == {
            name: array.tobytes() for name, array in expected.items()
        }
    assert isinstance(build_engine(SHAPE), CpuEngine)


def test_matrices_of_a_crew_are_those_of_one_process():
    state, matrices = SHAPE.initial_state(), SHAPE.initial_matrices()
    assert set(matrices) == {f"shop.alignment_{side}{end}" for side in ("source", "target") for end in ("", "_memory")}
    for name, matrix in matrices.items():
        np.testing.assert_array_equal(matrix, state[name])


def test_several_processes_train_in_torch():
    with pytest.raises(
        ConfigError, match=r'several processes train with training\.implementation = "torch", got "numba"'
    ):
        build_engine(SHAPE, "numba", crew=TwoProcesses())  # type: ignore[arg-type]


def test_unknown_implementation_is_refused():
    with pytest.raises(ConfigError, match=r"training\.implementation must be numba or torch, got 'jax'"):
        build_engine(SHAPE, "jax")


def test_storage_in_half_precision_needs_torch():
    with pytest.raises(ConfigError, match=r'sharding\.storage = "fp16" needs training\.implementation = "torch"'):
        build_engine(SHAPE, "numba", sharding=ShardingSettings(storage="fp16"))


@pytest.mark.parametrize("placement", ["host", "cached"])
def test_rows_away_from_the_device_are_kept_by_torchrec_only(placement):
    with pytest.raises(
        ConfigError, match=rf'placement = "{placement}" is of tables that TorchRec keeps: train by `torchrun'
    ):
        build_engine(SHAPE, "torch", sharding=ShardingSettings(placement=placement))
