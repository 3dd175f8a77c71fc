"""Steps of rows against torch's own optimisers, and that other rows stay where they are."""

import pytest

torch = pytest.importorskip("torch")

from prismrec.models.knowledge.row_steps import RowSteps  # noqa: E402


def moved(optimizer, rows, gradients, n_steps=3, rate=0.1):
    table = torch.arange(12.0).reshape(4, 3)
    steps = RowSteps({"entity": table}, optimizer, rate)
    for step in range(n_steps):
        steps.move("entity", rows, table[rows], gradients[rows] * (step + 1), step)
    return table, steps


def by_torch(optimizer, gradients, n_steps=3, rate=0.1):
    table = torch.nn.Parameter(torch.arange(12.0).reshape(4, 3))
    kinds = {"adagrad": torch.optim.Adagrad, "adam": torch.optim.Adam}
    eps = {"adagrad": 1e-8, "adam": 1e-8}[optimizer]
    dense = kinds[optimizer]([table], lr=rate, eps=eps)
    for step in range(n_steps):
        table.grad = gradients * (step + 1)
        dense.step()
    return table.detach()


GRADIENTS = torch.tensor([[1.0, -2.0, 0.5], [3.0, 0.1, -0.1], [0.0, 1.0, 2.0], [-1.0, -1.0, 4.0]])


@pytest.mark.parametrize("optimizer", ["adagrad", "adam"])
def test_where_every_row_is_met_steps_are_those_of_torch(optimizer):
    table, _ = moved(optimizer, torch.arange(4), GRADIENTS)
    assert torch.allclose(table, by_torch(optimizer, GRADIENTS), atol=1e-6)


@pytest.mark.parametrize("optimizer", ["adagrad", "adam"])
def test_rows_that_no_batch_meets_stay_and_keep_their_moments(optimizer):
    rows = torch.tensor([0, 2])
    table, steps = moved(optimizer, rows, GRADIENTS)
    assert torch.equal(table[[1, 3]], torch.arange(12.0).reshape(4, 3)[[1, 3]])
    assert torch.allclose(table[rows], by_torch(optimizer, GRADIENTS)[rows], atol=1e-6)
    assert all((moment[[1, 3]] == 0).all() for moment in steps.moments.values())


def test_moments_are_named_by_their_table():
    table = {"entity": torch.zeros(2, 3), "matrix": torch.zeros(2, 3, 3)}
    assert set(RowSteps(table, "adagrad", 0.1).moments) == {"squares.entity", "squares.matrix"}
    assert RowSteps(table, "adam", 0.1).moments["mean.matrix"].shape == (2, 3, 3)
