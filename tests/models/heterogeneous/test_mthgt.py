"""MTHGT and its ablations: learns planted tastes, keeps its switches apart, and is the same however it is asked."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from prismrec.data.prepared import PreparedData
from prismrec.data.sequences import Sequences
from prismrec.data.vocabulary import Vocabulary
from prismrec.errors import DataError
from prismrec.graphs.heterogeneous import heterogeneous_graph
from prismrec.graphs.subgraphs import SubgraphSettings
from prismrec.models.algorithms import open_encoder
from prismrec.models.heterogeneous.attention import adjacencies
from prismrec.models.heterogeneous.configs import MTHGTConfig
from prismrec.models.heterogeneous.mthgt import MTHGT
from prismrec.models.heterogeneous.subgraph_tasks import CLICKS, Question, link_losses, tensors
from prismrec.models.neural.trainable import TorchTraining

SMALL = {
    "embedding_dim": 8, "layers": 1, "heads": 2, "experts": 2, "learning_rate": 0.03,
    "subgraph": SubgraphSettings(nodes_per_type=20),
}  # fmt: skip


def model_of(data: PreparedData, seed: int = 0, **settings: object) -> MTHGT:
    return MTHGT(MTHGTConfig(**{**SMALL, **settings}), data, seed=seed, device="cpu")


def trained(model: MTHGT, n_steps: int) -> TorchTraining:
    training = TorchTraining(model, seed=0)
    for number in range(n_steps):
        training.step(*divmod(number, training.steps_per_epoch), 0.0)
    return training


def scores(model: MTHGT, data: PreparedData) -> np.ndarray:
    users = np.arange(len(data.users))
    return model.encoder().encode(data.histories, users) @ model.table().target.T


def share_of_own_taste(found: np.ndarray, data: PreparedData) -> float:
    """Of each user's five best items that they did not click, how many have the user's parity; by chance 0.3."""
    hits = []
    for user, row in enumerate(found):
        row[data.histories[user]] = -np.inf
        hits.append(np.mean(np.argsort(-row)[:5] % 2 == user % 2))
    return float(np.mean(hits))


# ---- learns ----


@pytest.mark.parametrize(
    "settings",
    [{}, {"shared_layers": True}, {"tasks": "recommendation"}, {"loss": "bpr", "temperature": 1.0}],
    ids=["mthgt", "shared", "one task", "bpr"],
)
def test_learns_planted_tastes(two_tastes, settings):
    data = two_tastes()
    model = model_of(data, **settings)
    trained(model, 25)
    assert share_of_own_taste(scores(model, data), data) > 0.95


def test_random_subgraphs_teach_it_too(two_tastes):
    data = two_tastes()
    model = model_of(data, subgraph=SubgraphSettings(nodes_per_type=16, sampling="random"))
    trained(model, 25)
    assert share_of_own_taste(scores(model, data), data) > 0.9


def test_clicks_alone_are_enough_of_a_graph(two_tastes):
    data = two_tastes(sides=False)
    model = model_of(data)
    assert heterogeneous_graph(data).types == ("user", "item")
    trained(model, 25)
    assert share_of_own_taste(scores(model, data), data) > 0.95


# ---- objective ----


def test_objective_is_the_weighted_sum_of_both_tasks_on_the_steps_subgraph(two_tastes):
    model = model_of(two_tastes())
    weights = model.network.weights
    with torch.no_grad():
        weights.log_variances["links"].fill_(0.7)
    subgraph = model._batches.batch(2, 1)
    nodes = tensors(subgraph.nodes, "cpu")
    made = model.network(nodes, adjacencies(subgraph.messages, nodes, "cpu"))
    clicks, _ = link_losses(made["recommendation"], {CLICKS: subgraph.questions[CLICKS]}, "softmax")
    links, _ = link_losses(made["links"], subgraph.questions, "softmax")
    objective = model.objective(2, 1)
    clicks, links = float(clicks.detach()), float(links.detach())
    expected = clicks + links * np.exp(-0.7) + 0.35  # log s = 0.7 / 2
    assert float(objective.value.detach()) == pytest.approx(expected, rel=1e-5)
    assert objective.losses["recommendation"].mean == pytest.approx(clicks, rel=1e-5)
    assert objective.losses["recommendation"].n_examples == len(subgraph.questions[CLICKS].positives)
    assert objective.losses["links"].n_examples == sum(len(q.positives) for q in subgraph.questions.values())
    assert model.task_weights() == pytest.approx({"recommendation": 1.0, "links": np.exp(-0.7)})


def test_links_are_asked_in_every_relation_only_where_both_tasks_are(two_tastes):
    data = two_tastes()
    both, one = model_of(data)._batches.batch(0, 0), model_of(data, tasks="recommendation")._batches.batch(0, 0)
    assert {key[1] for key in both.questions} == {"clicked", "has", "linked"}
    assert set(one.questions) == {CLICKS}
    assert all(isinstance(q, Question) for q in both.questions.values())


def test_one_task_has_no_mixture_and_no_weights(two_tastes):
    model = model_of(two_tastes(), tasks="recommendation")
    assert model.network.mixture is None
    assert model.task_weights() == {"recommendation": 1.0}
    assert set(model.objective(0, 0).losses) == {"recommendation"}


def test_tasks_have_a_network_each_unless_they_share_one(two_tastes):
    own, shared = model_of(two_tastes()).network, model_of(two_tastes(), shared_layers=True).network
    assert (len(own.stacks), len(shared.stacks)) == (2, 1)
    assert own.stack("links")[0] is not own.stack("recommendation")[0]
    assert shared.stack("links")[0] is shared.stack("recommendation")[0]
    sizes = [sum(p.numel() for p in network.stacks.parameters()) for network in (own, shared)]
    assert sizes[0] == 2 * sizes[1]


def test_every_parameter_takes_part(two_tastes):
    model = model_of(two_tastes(), layers=2, subgraph=SubgraphSettings(nodes_per_type=64))
    model.objective(0, 0).value.backward()
    without = {name for name, p in model.network.named_parameters() if p.grad is None}
    last = "stacks.{}.1."  # the recommendation's last layer need not update attributes
    assert all(name.startswith(last.format(0)) or ".shares.recommendation." in name for name in without), without


# ---- the same however it is asked ----


def test_whole_graph_is_what_one_subgraph_of_all_nodes_and_edges_gives(two_tastes):
    data = two_tastes()
    model = model_of(data, layers=2)
    trained(model, 2)
    nodes = {name: torch.arange(n) for name, n in model._graph.n_nodes.items()}
    messages = model._batches._sampler._edges({name: own.numpy() for name, own in nodes.items()})
    with torch.no_grad():
        made = model.network(nodes, adjacencies(messages, nodes, "cpu"))["recommendation"]
    np.testing.assert_allclose(model.table().target, made["item"].numpy(), atol=1e-6)
    users = model.encoder().encode(data.histories, np.arange(len(data.users)))
    np.testing.assert_allclose(users, made["user"].numpy(), atol=1e-6)


def test_scores_are_cosines_over_the_temperature(two_tastes):
    model = model_of(two_tastes(), temperature=0.25)
    np.testing.assert_allclose(np.linalg.norm(model.table().target, axis=1), 2.0, rtol=1e-5)  # 1 / sqrt(0.25)


def test_same_seed_same_numbers_and_another_seed_others(two_tastes):
    data = two_tastes()
    models = [model_of(data, seed) for seed in (0, 0, 1)]
    for model in models:
        trained(model, 2)
    first, same, other = (model.table().target for model in models)
    np.testing.assert_array_equal(first, same)
    assert not np.allclose(first, other)


def test_resumed_run_goes_on_bit_by_bit(two_tastes):
    data = two_tastes()
    whole = trained(model_of(data), 3)
    resumed = TorchTraining(model_of(data), seed=0)
    resumed.restore(trained(model_of(data), 2).state())
    resumed.step(0, 2, 0.0)
    ended = resumed.state()
    for name, value in whole.state().items():
        np.testing.assert_array_equal(ended[name], value, err_msg=name)


def test_stored_encoder_opens_without_the_model(two_tastes):
    data = two_tastes()
    model = model_of(data)
    trained(model, 2)
    stored = model.stored()
    asked = data.histories.take([3, 4, 5]), np.array([3, -1, 5])
    np.testing.assert_array_equal(open_encoder(stored).encode(*asked), model.encoder().encode(*asked))
    assert (stored.algorithm, stored.knows_users) == ("mthgt", True)


def test_unknown_user_is_the_mean_of_their_items_and_nothing_is_zero(two_tastes):
    model = model_of(two_tastes())
    made = model.encoder().encode(Sequences.from_lists([[1, 3], []]), np.array([-1, -1]))
    np.testing.assert_allclose(made[0], model.table().source[[1, 3]].mean(0), rtol=1e-5)
    assert not made[1].any()


# ---- what it refuses ----


def test_log_without_clicks_is_refused():
    empty = Sequences.from_lists([[], []])
    ids = Vocabulary.from_ids([0, 1])
    with pytest.raises(DataError, match="no interactions to learn from"):
        model_of(PreparedData(items=ids, sessions=empty, users=ids, histories=empty))


def test_dimension_must_be_shared_out_among_heads():
    with pytest.raises(ValidationError, match="embedding_dim 10 is not a multiple of heads 4"):
        MTHGTConfig(embedding_dim=10, heads=4)


@pytest.mark.parametrize("wrong", [{"tasks": "links"}, {"temperature": 0.0}, {"hidden_share": 1.5}, {"experts": 0}])
def test_settings_are_checked(wrong):
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        MTHGTConfig(**wrong)
