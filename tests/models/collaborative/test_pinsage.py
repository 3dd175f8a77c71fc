"""PinSage against a slow version of its algorithms, and on planted data."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from prismrec.data.sequences import Sequences
from prismrec.errors import DataError
from prismrec.models.algorithms import open_encoder
from prismrec.models.collaborative import pinsage
from prismrec.models.collaborative.configs import PinSageConfig
from prismrec.models.collaborative.pinsage import Neighbourhoods, PinSage, max_margin
from prismrec.models.collaborative.visits import Visited

TINY = PinSageConfig(
    embedding_dim=4, n_neighbours=3, n_walks=20, n_negatives=7, n_hard=2, hard_from=0, batch_size=40, margin=0.5
)


def fresh(data, config=TINY, seed=1):
    return PinSage(config, data, seed=seed, device="cpu")


def scores(model, data):
    return model.encoder().encode(data.histories, np.arange(len(data.users))) @ model.table().target.T


@pytest.fixture
def with_biases(groups):
    """Biases are zero at first, so that none would be missed."""
    model = fresh(groups)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, parameter in model.network.named_parameters():
            if name.endswith("bias"):
                parameter.uniform_(-0.1, 0.3, generator=generator)
    return model


# ---- the vectors ----


def slow_vectors(model, first):
    """z of all nodes in float64, neighbour by neighbour; `first` is h^0."""
    weights = {name: p.detach().double().numpy() for name, p in model.network.named_parameters()}
    vectors = first
    for number in range(len(model.network.layers)):
        q, b, w, c = (
            weights[f"layers.{number}.{part}"]
            for part in ("message.weight", "message.bias", "update.weight", "update.bias")
        )
        after = []
        for node, own in enumerate(vectors):
            pairs = zip(model._near._nodes[node], model._near._shares[node], strict=True)
            received = sum(share * np.maximum(q @ vectors[other] + b, 0) for other, share in pairs)
            update = np.maximum(w @ np.concatenate([own, received]) + c, 0)
            after.append(update / max(np.linalg.norm(update), 1e-12))
        vectors = np.array(after)
    dense = np.maximum(vectors @ weights["dense.weight"].T + weights["dense.bias"], 0)
    return dense @ weights["out.weight"].T


def first_of(model):
    return torch.cat([model.network.users, model.network.items]).detach().double().numpy()


def test_vectors_are_those_of_the_algorithms_neighbour_by_neighbour(groups, with_biases):
    expected = slow_vectors(with_biases, first_of(with_biases))
    assert np.abs(expected).max() > 0.05
    np.testing.assert_allclose(with_biases.table().target, expected[40:], rtol=1e-4, atol=1e-5)
    users = with_biases.encoder().encode(groups.histories, np.arange(40))
    np.testing.assert_allclose(users, expected[:40], rtol=1e-4, atol=1e-5)


def test_a_few_nodes_have_the_vectors_that_they_have_among_all(with_biases, monkeypatch):
    whole = with_biases.table().target
    some = with_biases._vectors(np.array([3, 41, 45, 59])).detach().numpy()
    np.testing.assert_allclose(some[1:], whole[[1, 5, 19]], rtol=1e-5, atol=1e-7)
    monkeypatch.setattr(pinsage, "_NODES_AT_ONCE", 7)
    np.testing.assert_allclose(with_biases.table().target, whole, rtol=1e-5, atol=1e-7)


def test_batch_needs_its_nodes_and_their_neighbours_only():
    """A chain 0 -> 1 -> 2 -> 3 -> 4: each node hears the next."""
    visited = Visited(np.array([[1], [2], [3], [4], [4]], np.int32), np.array([[1], [1], [1], [1], [0]], np.int32))
    needed, levels = Neighbourhoods(visited, "cpu").needed(np.array([1]), 2)
    assert needed.tolist() == [1, 2, 3]
    assert [level.own.tolist() for level in levels] == [[0, 1], [0]]  # of 1, 2, 3 the first two; of 1, 2 the first
    assert [level.near.tolist() for level in levels] == [[[1], [2]], [[1]]]
    assert [level.shares.tolist() for level in levels] == [[[1.0], [1.0]], [[1.0]]]


# ---- attributes ----


def test_attributes_of_an_item_are_the_mean_of_each_view(make_log):
    views = {"genre.items": [[0, 1], [1], [], [0]], "maker": [[0], [0], [1], [1]]}
    data = make_log([[0, 1], [1, 2]], 4, views)
    model = fresh(data)
    first = first_of(model)
    genre, maker = (view.detach().double().numpy() for view in model.network.views)
    first[2:] = [
        first[2] + (genre[0] + genre[1]) / 2 + maker[0],
        first[3] + genre[1] + maker[0],
        first[4] + maker[1],
        genre[0] + maker[1],  # never had: no vector of its own
    ]
    np.testing.assert_allclose(model.table().target, slow_vectors(model, first)[2:], rtol=1e-4, atol=1e-6)


def test_attributes_are_learned_and_tell_where_a_new_item_belongs(trained, make_log, groups):
    """Items 20 and 21 were never had; their view says of which group they are."""
    view = [[item % 2] for item in range(22)]
    data = make_log(groups.histories.to_lists(), 22, {"group": view})
    model = fresh(data, PinSageConfig(embedding_dim=16, n_walks=50, batch_size=64, learning_rate=0.02, n_hard=0))
    trained(model, 12)
    found = scores(model, data)
    even = np.arange(40) % 2 == 0
    assert (found[even, 20] > found[even, 21]).mean() > 0.9
    assert (found[~even, 21] > found[~even, 20]).mean() > 0.9


# ---- the loss ----


def test_max_margin_by_hand():
    positive, negatives = torch.tensor([1.0, 0.0]), torch.tensor([[0.2, 0.8], [-torch.inf, 0.5]])
    assert max_margin(positive, negatives, 0.3).item() == pytest.approx((0 + 0.1 + 0 + 0.8) / 4)


def slow_objective(model, epoch, step):
    users, positives, _ = model._batches.batch(epoch, step)
    rng = np.random.default_rng([1, epoch, step, 1])
    shared = rng.integers(20, size=7)
    hard = model._hard_negatives(users, min(epoch, 2), rng)
    z = slow_vectors(model, first_of(model))
    total = 0.0
    for user, positive, own in zip(users, positives, hard, strict=True):
        q = z[user]
        for negative in [j for j in shared if j != positive] + own.tolist():
            total += max(0.0, q @ z[40 + negative] - q @ z[40 + positive] + 0.5)
    return total / (len(users) * (7 + hard.shape[1]))


@pytest.mark.parametrize("epoch", [0, 1, 5])
def test_objective_is_that_of_the_equations(with_biases, epoch):
    objective = with_biases.objective(epoch, 2)
    assert objective.value.item() == pytest.approx(slow_objective(with_biases, epoch, 2), rel=1e-4)
    assert objective.losses["ranking"].n_examples == 40
    assert objective.losses["ranking"].mean == pytest.approx(objective.value.item())


@pytest.mark.parametrize("name", ["users", "items", "layers.0.message.weight", "layers.1.update.weight", "out.weight"])
def test_gradient_is_the_slope_of_the_slow_objective(with_biases, name):
    parameter = dict(with_biases.network.named_parameters())[name]
    with_biases.objective(3, 1).value.backward()
    place = divmod(int(parameter.grad.abs().argmax()), parameter.shape[1])
    values = []
    for shift in (1e-3, -1e-3):
        with torch.no_grad():
            parameter[place] += shift
            values.append(slow_objective(with_biases, 3, 1))
            parameter[place] -= shift
    assert parameter.grad[place].item() == pytest.approx((values[0] - values[1]) / 2e-3, rel=0.05)


def test_hard_negatives_grow_by_one_per_epoch(groups, monkeypatch):
    model = fresh(groups)
    asked, real = [], model._hard_negatives

    def counted(users, n, rng):
        asked.append(n)
        return real(users, n, rng)

    monkeypatch.setattr(model, "_hard_negatives", counted)
    for epoch in range(5):
        model.objective(epoch, 0)
    assert asked == [0, 1, 2, 2, 2]


def test_hard_negatives_are_of_the_users_group_and_never_theirs(groups):
    model = fresh(groups)
    users = np.arange(40)
    hard = model._hard_negatives(users, 200, np.random.default_rng(0))
    found = model._hard.counts > 0
    assert found.any(1).all()
    for user, history in enumerate(groups.histories):
        related = model._hard.nodes[user][found[user]]
        assert (related % 2 == user % 2).all()
        assert not np.isin(related, history).any()
        assert np.isin(related, hard[user]).mean() > 0.5


def test_where_walks_met_too_few_hard_negatives_are_uniform(small):
    model = fresh(small)
    drawn = model._hard_negatives(np.array([2]), 400, np.random.default_rng(0))
    assert set(drawn[0].tolist()) == {0, 1, 2, 3}


# ---- the contract ----


def test_learns_who_belongs_together(groups, trained, lead):
    model = fresh(groups, PinSageConfig(embedding_dim=8, n_walks=50, batch_size=64, learning_rate=0.05, n_hard=0))
    before = lead(model, groups)
    trained(model, 8)
    assert lead(model, groups) > 0.99 > before


def test_unknown_user_is_the_mean_of_their_items(groups):
    model = fresh(groups)
    got = model.encoder().encode(Sequences.from_lists([[3, 5, 5], []]), np.array([-1, -1]))
    items = model.table().target
    np.testing.assert_allclose(got[0], (items[3] + 2 * items[5]) / 3, rtol=1e-4, atol=1e-7)
    assert not got[1].any()


def test_same_seed_same_numbers(groups, trained):
    one, same, other = (fresh(groups, seed=seed) for seed in (1, 1, 2))
    for model in (one, same, other):
        trained(model, 1)
    assert scores(one, groups).tobytes() == scores(same, groups).tobytes()
    assert (scores(one, groups) != scores(other, groups)).any()


def test_resumed_is_as_if_never_stopped(groups, trained):
    whole, first, second = fresh(groups), fresh(groups), fresh(groups)
    trained(whole, 3)
    begun = trained(first, 2)
    resumed = trained(second, 0)
    resumed.restore(begun.state())
    for step in range(resumed.steps_per_epoch):
        resumed.step(2, step, 0.5)
    assert scores(second, groups).tobytes() == scores(whole, groups).tobytes()


def test_opened_encoder_is_the_stored_one_and_batches_change_nothing(groups):
    model = fresh(groups)
    stored = model.stored()
    assert (stored.algorithm, stored.knows_users) == ("pinsage", True)
    users = np.where(np.arange(40) % 3, np.arange(40), -1)
    encoder = model.encoder()
    encoded = encoder.encode(groups.histories, users)
    assert np.array_equal(open_encoder(stored).encode(groups.histories, users), encoded)
    single = [encoder.encode(groups.histories.slice(row, row + 1), users[row : row + 1])[0] for row in range(40)]
    np.testing.assert_array_equal(encoded, single)


def test_walks_leave_torch_as_many_threads_as_it_had():
    """In a process of its own: numba starts its threads once."""
    code = """if True:
        import numpy as np, torch
        from prismrec.data.prepared import PreparedData
        from prismrec.data.sequences import Sequences
        from prismrec.data.vocabulary import Vocabulary
        from prismrec.models.collaborative.configs import PinSageConfig
        from prismrec.models.collaborative.pinsage import PinSage

        torch.set_num_threads(3)
        ids, rows = Vocabulary.from_ids([0, 1]), Sequences.from_lists([[0, 1], [1]])
        PinSage(PinSageConfig(), PreparedData(ids, rows, ids, rows), seed=1, device="cpu")
        print(torch.get_num_threads())
    """
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "3"


def test_log_without_interactions_is_refused(make_log):
    with pytest.raises(DataError, match="no interactions"):
        fresh(make_log([[]], 2))
