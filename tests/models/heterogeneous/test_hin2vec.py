"""HIN2Vec: its loss written out, negatives of the right type, what it learns on planted data."""

import math

import numpy as np
import pytest
import torch

from prismrec.data.prepared import PreparedData, View
from prismrec.data.sequences import Sequences
from prismrec.data.vocabulary import Vocabulary
from prismrec.errors import DataError
from prismrec.models.algorithms import open_encoder
from prismrec.models.heterogeneous.configs import HIN2VecConfig
from prismrec.models.heterogeneous.hin2vec import HIN2Vec
from prismrec.models.neural.trainable import TorchTraining

SMALL = {"embedding_dim": 8, "walk_length": 10, "walks_per_step": 16, "n_negatives": 3, "learning_rate": 0.02}


def two_camps(n_users=40):
    """Users of camp 0 have items 0..9, those of camp 1 items 10..19; item 19 was never had, but has their genre."""
    rng = np.random.default_rng(0)
    rows = [(rng.permutation(9)[:5] + 10 * (user % 2)).tolist() for user in range(n_users)]
    histories = Sequences.from_lists(rows)
    genres = Sequences.from_lists([[item // 10] for item in range(20)])
    view = View("genre", Vocabulary.from_ids(["g", "h"]), genres, histories)  # its sessions play no part
    items = Vocabulary.from_ids(list(range(20)), np.bincount(histories.values, minlength=20))
    return PreparedData(items, histories, Vocabulary.from_ids(list(range(n_users))), histories, {"genre": view})


def fresh(data, **changes):
    return HIN2Vec(HIN2VecConfig(**{**SMALL, **changes}), data, seed=0, device="cpu")


def trained(data, epochs, **changes):
    model = fresh(data, **changes)
    training = TorchTraining(model, seed=0)
    for epoch in range(epochs):
        for step in range(training.steps_per_epoch):
            training.step(epoch, step, 0.0)
    return model


@pytest.fixture(scope="module")
def camps():
    return trained(two_camps(), 12)


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def test_loss_is_the_logistic_one_over_pairs_and_drawn_nodes():
    model = fresh(two_camps())
    rng = np.random.default_rng([0, 2, 1])
    starts = model._order(2)[16:32]
    pairs = model._walks.pairs(starts, 10, int(rng.integers(2**63)))
    others = model._others(pairs.targets, rng)
    nodes, paths = (tensor.detach().numpy() for tensor in (model.network.nodes, model.network.paths))
    total = 0.0
    for x, y, path, wrong in zip(*pairs, others, strict=True):
        gated = nodes[x] * np.array([sigmoid(value) for value in paths[path]])
        total -= math.log(sigmoid(gated @ nodes[y]))
        total -= sum(math.log(1 - sigmoid(gated @ nodes[other])) for other in wrong)
    objective = model.objective(2, 1)
    assert objective.losses["paths"].n_examples == len(pairs.sources)
    assert objective.losses["paths"].total == pytest.approx(total, rel=1e-4)
    assert objective.value.item() == pytest.approx(total / len(pairs.sources), rel=1e-4)


def test_other_nodes_are_drawn_evenly_from_the_type_of_the_target():
    model = fresh(two_camps(), n_negatives=1)
    rng = np.random.default_rng(0)
    for target, first, last in ((5, 0, 40), (40, 40, 60), (61, 60, 62)):
        drawn = model._others(np.full(40_000, target, np.int32), rng)
        assert (drawn.min(), drawn.max()) == (first, last - 1)
        shares = np.bincount(drawn[:, 0] - first) / 40_000
        np.testing.assert_allclose(shares, 1 / (last - first), atol=0.01)


def test_an_epoch_walks_from_every_node_as_often_as_set():
    model = fresh(two_camps(), walks_per_node=3)
    assert model.steps_per_epoch == math.ceil(3 * (40 + 20 + 2) / 16)
    order = model._order(0)
    assert np.bincount(order).tolist() == [3] * 62
    assert (order != model._order(1)).any()


def test_users_rank_the_items_of_their_camp_first_the_one_never_had_too(camps):
    asked = Sequences.from_lists([[], []])
    scores = camps.encoder().encode(asked, np.array([0, 1])) @ camps.table().target.T
    assert set(np.argsort(-scores[0])[:9]) == set(range(9))
    assert scores[1, 19] > scores[1, :10].max()


def test_unknown_users_rank_by_the_items_of_their_history(camps):
    asked = Sequences.from_lists([[1, 2, 3], [12, 14], []])
    vectors = camps.encoder().encode(asked, np.full(3, -1))
    scores = vectors @ camps.table().target.T
    assert set(np.argsort(-scores[0])[:9]) == set(range(9))
    assert scores[1, 10:].min() > scores[1, :10].max()
    assert not vectors[2].any()


def test_similar_items_are_those_of_the_camp(camps):
    table = camps.table()
    similar = table.source @ table.target.T
    assert similar[4, :9].min() > similar[4, 10:].max()


def test_score_of_a_user_is_the_product_through_the_path_to_items(camps):
    nodes, paths = (tensor.detach().numpy() for tensor in (camps.network.nodes, camps.network.paths))
    walks = camps._walks
    pair = walks.pairs(np.array([0]), 2, seed=0)  # from a user, the first step leads to an item
    score = camps.encoder().encode(Sequences.from_lists([[]]), np.array([0])) @ camps.table().target.T
    gate = 1 / (1 + np.exp(-paths[pair.paths[0]]))
    assert score[0, pair.targets[0] - 40] == pytest.approx(np.sum(nodes[0] * gate * nodes[pair.targets[0]]), rel=1e-5)


def test_stored_and_opened_is_the_same(camps):
    stored = camps.stored()
    asked, users = Sequences.from_lists([[1, 2], [], [15]]), np.array([-1, 3, 4])
    assert stored.knows_users
    assert (open_encoder(stored).encode(asked, users) == camps.encoder().encode(asked, users)).all()


def test_same_seed_same_numbers():
    one, same = (trained(two_camps(), 1) for _ in range(2))
    torch.testing.assert_close(one.network.nodes, same.network.nodes, rtol=0, atol=0)


def test_data_without_a_click_are_refused():
    nothing = Sequences.from_lists([[]])
    data = PreparedData(Vocabulary.from_ids(["a"]), nothing, Vocabulary.from_ids(["u"]), nothing)
    with pytest.raises(DataError, match="walks need edges"):
        fresh(data)
