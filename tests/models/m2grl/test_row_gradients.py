"""Gradients in short against the same written out."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from prismrec.models.m2grl.device_batches import Part  # noqa: E402
from prismrec.models.m2grl.row_gradients import Rows, TargetGradients, anchor_of_pair  # noqa: E402


def test_rows_are_gathered_in_32_bits():
    table = torch.tensor([[1.5, 2.0], [0.25, -1.0]], dtype=torch.bfloat16)
    assert Rows(table, torch.tensor([1, 1, 0])).gathered().tolist() == [[0.25, -1.0], [0.25, -1.0], [1.5, 2.0]]
    assert Rows(table).gathered().tolist() == table.tolist()
    assert Rows(table).gathered().dtype == torch.float32


def test_gradients_written_out_are_multiples_of_their_anchors_rows():
    sources = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    short = TargetGradients(torch.tensor([2.0, 3.0, 5.0, 7.0, 11.0, 13.0, 17.0]), sources, torch.tensor([0, 1, 1]), 2)
    expected = [[2, 4], [9, 12], [15, 20], [7, 14], [11, 22], [39, 52], [51, 68]]
    assert short.dense().tolist() == expected
    assert short.owners().tolist() == [0, 1, 1, 0, 0, 1, 1]
    np.testing.assert_array_equal(short.scales[:, None] * sources[short.owners()], expected)


@pytest.mark.parametrize("n_negatives", [0, 3])
def test_nothing_and_no_negatives(n_negatives):
    none = TargetGradients(torch.zeros(0), torch.zeros((0, 4)), torch.zeros(0, dtype=torch.int64), n_negatives)
    assert none.dense().shape == (0, 4)
    assert none.owners().shape == (0,)
    one = TargetGradients(torch.ones(1 + n_negatives), torch.ones((1, 4)), torch.tensor([0]), n_negatives)
    assert one.dense().shape == (1 + n_negatives, 4)


def test_every_pair_knows_its_anchor():
    part = Part(torch.tensor([7, 8, 9]), torch.tensor([0, 2, 2, 3]), torch.zeros(3 + 3 * 2, dtype=torch.int64), 2)
    assert anchor_of_pair(part).tolist() == [0, 0, 2]
