"""RippleNet: each equation against a slow version, what finds candidates beside what orders them, and its walks."""

import numpy as np
import pyarrow as pa
import pytest
import torch

from prismrec.data.knowledge.graph import ItemKnowledge
from prismrec.data.sequences import Sequences
from prismrec.errors import DataError
from prismrec.graphs.ripples import content_seeds, ripple_graph, ripple_sets
from prismrec.models.algorithms import open_encoder
from prismrec.models.contract import CandidateScorer, PathExplainer
from prismrec.models.knowledge.configs import RippleNetConfig
from prismrec.models.knowledge.ripplenet import RippleNet, RippleNetEncoder
from prismrec.models.neural.trainable import TorchTraining

N_ITEMS, DIM = 4, 3
HISTORIES = Sequences.from_lists([[0, 1], [2], [3, 1, 0], []])
NOBODY = np.full(len(HISTORIES), -1)
UPDATES = ("replace", "plus", "replace_transform", "plus_transform")
WEIGHTS = ("learned", "equal", "last")


def built(data, seed=0, **settings):
    values = {
        "embedding_dim": DIM,
        "triples_per_hop": 5,
        "answer_triples": 7,
        "batch_size": 8,
        "asked_together": 2,
        **settings,
    }
    model = RippleNet(RippleNetConfig(**values), data, seed=seed, device="cpu")
    with torch.no_grad():  # nothing at zero, where errors hide
        model.network.bias.copy_(torch.linspace(-1, 1, N_ITEMS))
        for name in ("transform", "hop_logits"):
            if hasattr(model.network, name):
                getattr(model.network, name).normal_(generator=torch.Generator().manual_seed(7))
    return model


def parameters(model):
    return {name: tensor.detach().numpy().astype(float) for name, tensor in model.network.named_parameters()}


def slow_score(model, ripples, row, item):
    """Equations (4) to (7) in loops; the score, and p of each hop."""
    p, config = parameters(model), model._config
    n_hops = ripples.heads.shape[1]
    learned = np.exp(p.get("hop_logits", np.zeros(n_hops)))
    last = np.eye(n_hops)[-1]
    weights = {"learned": learned / learned.sum(), "equal": np.full(n_hops, 1 / n_hops), "last": last}[
        config.hop_weights
    ]
    v, user, attention = p["nodes"][model._graph.item_nodes[item]], np.zeros(DIM), []
    for hop in range(n_hops):
        triples = list(
            zip(*(part[row, hop] for part in (ripples.heads, ripples.relations, ripples.tails)), strict=True)
        )
        logits = np.array([v @ p["relations"][r] @ p["nodes"][h] for h, r, _ in triples])
        share = np.exp(logits) / np.exp(logits).sum()
        o = sum(a * p["nodes"][t] for a, (_, _, t) in zip(share, triples, strict=True))
        user = user + weights[hop] * o
        v = {
            "replace": o,
            "plus": v + o,
            "replace_transform": p.get("transform", np.eye(DIM)) @ o,
            "plus_transform": p.get("transform", np.eye(DIM)) @ (v + o),
        }[config.item_update]
        attention.append(share)
    return user @ v + p["bias"][item], attention


def ripples_of(model, histories):
    config = model._config
    return ripple_sets(model._graph, histories, config.n_hops, config.answer_triples, content_seeds(histories))


def slow_scores(model, histories):
    ripples = ripples_of(model, histories)
    return np.array(
        [
            [slow_score(model, ripples, row, item)[0] if found else 0.0 for item in range(N_ITEMS)]
            for row, found in enumerate(ripples.found)
        ]
    )


def every_item(n):
    return np.tile(np.arange(N_ITEMS), (n, 1))


@pytest.mark.parametrize("n_hops", [1, 2, 3])
@pytest.mark.parametrize("update", UPDATES)
def test_scores_are_those_of_the_equations(small, update, n_hops):
    model = built(small, item_update=update, n_hops=n_hops)
    found = model.encoder().score_candidates(HISTORIES, NOBODY, every_item(len(HISTORIES)))
    np.testing.assert_allclose(found, slow_scores(model, HISTORIES), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("weights", WEIGHTS)
def test_hops_are_weighed_as_the_setting_says(small, weights):
    model = built(small, hop_weights=weights)
    found = model.encoder().score_candidates(HISTORIES, NOBODY, every_item(len(HISTORIES)))
    np.testing.assert_allclose(found, slow_scores(model, HISTORIES), rtol=1e-4, atol=1e-5)


def test_the_loss_of_triples_is_that_of_the_paper_over_all_pairs_of_entities(small):
    """1/2n sum_r |I_r - E R E^T|^2, with every triple drawn once."""
    model, graph = built(small), small.knowledge.graph
    p, n = parameters(model), graph.n_triples
    expected = 0.0
    for relation in range(graph.n_relations):
        for head in range(graph.n_entities):
            for tail in range(graph.n_entities):
                true = (graph.triples == [head, relation, tail]).all(1).any()
                expected += (true - p["nodes"][head] @ p["relations"][relation] @ p["nodes"][tail]) ** 2
    found = model.network.triple_loss(graph.n_entities, graph.triples.astype(np.int64), n)
    assert found.item() == pytest.approx(expected / (2 * n), rel=1e-5)


def test_triples_are_drawn_from_all_of_them(small):
    model = built(small, batch_size=600)
    drawn = model._drawn_triples(0, 0)
    known, counts = np.unique(drawn, axis=0, return_counts=True)
    assert known.tolist() == np.unique(small.knowledge.graph.triples, axis=0).tolist()
    assert counts.min() > 60


def test_the_objective_is_the_sum_of_three_parts(small):
    model = built(small, kge_weight=0.3, l2=0.02)
    batch, p = model._batches.batch(0, 0), parameters(model)
    half, losses = batch.items.shape[1] // 2, []
    for row, column in zip(*np.nonzero(batch.asked), strict=True):
        y = slow_score(model, batch.ripples, row, batch.items[row, column])[0]
        losses.append(np.log1p(np.exp(-y if column < half else y)))
    triples = model.network.triple_loss(5, model._drawn_triples(0, 0), 6).item()
    squares = (p["nodes"] ** 2).sum() + (p["relations"] ** 2).sum()
    found = model.objective(0, 0)
    assert found.value.item() == pytest.approx(np.mean(losses) + 0.3 * triples + 0.01 * squares, rel=1e-5)
    assert found.losses["clicks"].total == pytest.approx(np.sum(losses), rel=1e-5)
    assert found.losses["clicks"].n_examples == len(losses)
    assert found.losses["triples"].mean == pytest.approx(triples, rel=1e-5)
    assert model.task_weights() == {"clicks": 1.0, "triples": 0.3}


@pytest.mark.parametrize("name", ["nodes", "relations", "transform", "hop_logits", "bias"])
def test_gradients_are_those_of_the_value(small, name):
    """Autograd goes through the sorting of pairs and relations: held to finite differences in double precision."""
    model = built(small, kge_weight=0.3, l2=0.02)
    model.network.double()
    parameter = getattr(model.network, name)
    model.objective(0, 0).value.backward()
    flat, gradient = parameter.data.view(-1), parameter.grad.view(-1)
    for place in range(0, len(flat), max(1, len(flat) // 6)):
        values = []
        for step in (1e-3, -1e-3):
            flat[place] += step
            values.append(model.objective(0, 0).value.item())
            flat[place] -= step
        assert gradient[place].item() == pytest.approx((values[0] - values[1]) / 2e-3, rel=2e-3, abs=2e-4)


def test_candidates_are_scored_each_for_its_query(small):
    encoder = built(small).encoder()
    every = encoder.score_candidates(HISTORIES, NOBODY, every_item(4))
    some = np.array([[3, 0], [1, 1], [2, 3], [0, 1]])
    found = encoder.score_candidates(HISTORIES, NOBODY, some)
    np.testing.assert_allclose(found, np.take_along_axis(every, some, 1), rtol=1e-5)
    alone = encoder.score_candidates(HISTORIES.take([2]), NOBODY[:1], some[2:3])
    np.testing.assert_allclose(alone[0], found[2], rtol=1e-5)


def test_blocks_of_queries_make_no_difference(small, monkeypatch):
    encoder = built(small).encoder()
    whole = encoder.score_candidates(HISTORIES, NOBODY, every_item(4)), encoder.encode(HISTORIES, NOBODY)
    monkeypatch.setattr("prismrec.models.knowledge.ripplenet._NUMBERS_AT_ONCE", 1)
    parts = encoder.score_candidates(HISTORIES, NOBODY, every_item(4)), encoder.encode(HISTORIES, NOBODY)
    for one, other in zip(whole, parts, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_where_products_can_be_exact_the_query_vector_makes_them_so(small):
    """Four items, five numbers: least squares leave nothing over but the ridge."""
    model = built(small)
    found = model.encoder().encode(HISTORIES, NOBODY) @ model.table().target.T
    assert np.abs(found - slow_scores(model, HISTORIES)).max() < 0.05


def test_training_attends_to_as_many_triples_as_its_setting_says(small):
    assert built(small)._batches.batch(0, 0).ripples.heads.shape[2] == 5


def test_an_empty_history_scores_zero(small):
    encoder = built(small).encoder()
    assert not encoder.score_candidates(HISTORIES, NOBODY, every_item(4))[3].any()
    assert not encoder.encode(HISTORIES, NOBODY)[3].any()


def test_the_encoder_is_what_its_protocols_say(small):
    encoder = built(small).encoder()
    assert isinstance(encoder, CandidateScorer)
    assert isinstance(encoder, PathExplainer)


def test_paths_tell_the_attention_that_the_score_comes_from(small):
    model = built(small, n_hops=1)
    ripples = ripples_of(model, HISTORIES)
    [shares] = slow_score(model, ripples, 0, 2)[1]
    expected: dict[tuple[int, int], float] = {}
    for share, head, tail in zip(shares, ripples.heads[0, 0].tolist(), ripples.tails[0, 0].tolist(), strict=True):
        expected[head, tail] = expected.get((head, tail), 0) + share
    paths = model.encoder().paths(np.array([0, 1]), -1, 2, 50)
    assert {path.entities[:2]: pytest.approx(path.weight, abs=1e-6) for path in paths} == expected
    assert [path.weight for path in paths] == sorted((path.weight for path in paths), reverse=True)
    assert (0, 3, 2) in {path.entities for path in paths}, "entity 3 leads to item 2"


def test_weights_of_all_paths_are_all_attention(small):
    paths = built(small, n_hops=3).encoder().paths(np.array([0, 1]), -1, 2, 50)
    assert sum(path.weight for path in paths) == pytest.approx(1, abs=1e-5)


def test_no_history_and_no_entity_have_no_paths(small):
    encoder = built(small).encoder()
    assert encoder.paths(np.array([], np.int64), -1, 0, 5) == ()
    assert encoder.paths(np.array([3]), -1, 0, 5) == (), "item 3 is no entity"


def test_what_is_stored_scores_and_explains_as_before(small):
    model = built(small, hop_weights="equal", item_update="plus")
    stored = model.stored()
    opened = open_encoder(stored)
    assert isinstance(opened, RippleNetEncoder)
    before = model.encoder().score_candidates(HISTORIES, NOBODY, every_item(4))
    np.testing.assert_array_equal(opened.score_candidates(HISTORIES, NOBODY, every_item(4)), before)
    assert opened.paths(np.array([0, 1]), -1, 2, 9) == model.encoder().paths(np.array([0, 1]), -1, 2, 9)
    assert stored.knowledge.entities.equals(pa.array([f"entity {n}" for n in range(5)]))
    assert stored.knowledge.relations == ("a", "b")
    assert stored.knowledge.item_entities.tolist() == [0, 1, 2, -1]


def test_without_triples_it_attends_to_the_history(make_graph, make_log):
    data = make_log([[0, 1, 2], [1, 3]], N_ITEMS, ItemKnowledge(make_graph(4, []), np.arange(4)))
    model = built(data)
    assert list(model.objective(0, 0).losses) == ["clicks"]
    assert model.task_weights() == {"clicks": 1.0}
    assert ripple_graph(data.knowledge).n_nodes == 4
    TorchTraining(model, seed=0).step(0, 0, 0.0)
    found = model.encoder().score_candidates(HISTORIES, NOBODY, every_item(4))
    assert np.isfinite(found).all()
    assert found[0].any()


def test_data_without_knowledge_are_refused(make_log):
    with pytest.raises(DataError, match=r"RippleNet spreads through a knowledge graph, and the data have none: set"):
        built(make_log([[0, 1]], N_ITEMS, None))
