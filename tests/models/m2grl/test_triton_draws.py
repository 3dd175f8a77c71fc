"""Negatives drawn in Triton against the compiled sampler: in the interpreter where there is no GPU."""

import numpy as np
import pytest

from prismrec.graphs.negatives import SLOT_STRIDE, AliasTable, build_alias_table, draw, random_states

torch = pytest.importorskip("torch")
pytest.importorskip("triton")
from prismrec.models.m2grl.torch_device import TorchDevice  # noqa: E402
from prismrec.models.m2grl.torch_random import slot_states  # noqa: E402
from prismrec.models.m2grl.triton_draws import BLOCK, draw_negatives  # noqa: E402

DEVICE = TorchDevice("cuda" if torch.cuda.is_available() else "cpu", kernels="triton")
STREAM = (3, 1, 4)


def one_after_the_other(table, n_chunks, n_anchors, n_negatives):
    """As the compiled sampler draws, chunk by chunk."""
    states = random_states(*STREAM, n_slots=n_chunks)
    found = np.empty((n_anchors, n_negatives), np.int32)
    for chunk in range(n_chunks):
        for anchor in range(n_anchors * chunk // n_chunks, n_anchors * (chunk + 1) // n_chunks):
            for k in range(n_negatives):
                found[anchor, k] = draw(states, chunk * SLOT_STRIDE, *table)
    return found


@pytest.mark.parametrize("n_chunks", [1, 2, 7, 40])
@pytest.mark.parametrize(("n_anchors", "n_negatives"), [(1, 1), (30, 3), (31, 10), (BLOCK // 8 + 5, 20)])
def test_draws_are_those_of_the_compiled_sampler(n_chunks, n_anchors, n_negatives):
    table = build_alias_table(np.random.default_rng(0).uniform(0, 5, 1000) ** 3)
    on_device = AliasTable(*(DEVICE.tensor(array) for array in table))
    found = draw_negatives(slot_states(STREAM, n_chunks, DEVICE), n_anchors, n_negatives, on_device, DEVICE)
    assert found.dtype == torch.int32
    np.testing.assert_array_equal(found.cpu(), one_after_the_other(table, n_chunks, n_anchors, n_negatives))


def test_one_node_is_drawn_always():
    table = AliasTable(*(DEVICE.tensor(array) for array in build_alias_table([2.0])))
    assert not draw_negatives(slot_states(STREAM, 2, DEVICE), 5, 3, table, DEVICE).any()


def test_no_anchors_have_no_negatives():
    table = AliasTable(*(DEVICE.tensor(array) for array in build_alias_table([2.0])))
    assert draw_negatives(slot_states(STREAM, 1, DEVICE), 0, 3, table, DEVICE).shape == (0, 3)
