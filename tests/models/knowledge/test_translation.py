"""Models of links: they learn planted facts, go on as if never stopped, and score one query as they score many."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from prismrec.errors import ConfigError, DataError  # noqa: E402
from prismrec.evaluation.links import LinkQueries, mean_reciprocal_rank  # noqa: E402
from prismrec.graphs.triple_answers import SIDES  # noqa: E402
from prismrec.models.algorithms import TRANSLATION, ModelsConfig, build_translation  # noqa: E402
from prismrec.models.knowledge.configs import TransEConfig  # noqa: E402
from prismrec.models.knowledge.translation import TranslationModel  # noqa: E402

SIDE = 5
SMALL = {"embedding_dim": 16, "n_negatives": 64, "batch_size": 16, "learning_rate": 0.2}
LEAST = {"distmult": 0.35, "rescal": 0.35, "transh": 0.5}
"""Which way a relation goes is nothing that DistMult can know, and matrices learn slowly from so few triples."""


def grid():
    """Places of a grid: right (0), down (1), and back to the left (2), which is right the other way round."""
    places = [(y, x) for y in range(SIDE) for x in range(SIDE)]
    number = {place: i for i, place in enumerate(places)}
    right = [[number[y, x], 0, number[y, x + 1]] for y, x in places if (y, x + 1) in number]
    down = [[number[y, x], 1, number[y + 1, x]] for y, x in places if (y + 1, x) in number]
    return np.array(right + down + [[t, 2, h] for h, _, t in right], np.int32)


@pytest.fixture(scope="module")
def planted(make_graph):
    """The grid without every sixth triple, and these: another triple says the same of each, or its neighbours do."""
    triples = grid()
    held = np.arange(len(triples)) % 6 == 3
    return make_graph(SIDE * SIDE, triples[~held], ("right", "down", "left")), triples[held]


def built(name, graph, seed=0, **changes):
    config = getattr(ModelsConfig(), name).model_copy(update={**SMALL, **changes})
    return TranslationModel(name, config, graph, seed=seed, device="cpu")


def trained(model, n_epochs, begin=0):
    total = 0.0
    for epoch in range(begin, n_epochs):
        total = sum(model.step(epoch, step, 0.0)["link"].total for step in range(model.steps_per_epoch))
    return total


def reciprocal(model, planted):
    graph, held = planted
    return mean_reciprocal_rank(model, LinkQueries.of(held, graph, []), 10.0)


@pytest.mark.parametrize("name", TRANSLATION)
def test_finds_what_was_held_out(name, planted):
    model = built(name, planted[0])
    before = reciprocal(model, planted)
    trained(model, 40)
    assert reciprocal(model, planted) > max(LEAST.get(name, 0.6), 2 * before)


@pytest.mark.parametrize("loss", ["softmax", "self_adversarial", "logistic", "margin"])
@pytest.mark.parametrize("optimizer", ["adagrad", "adam"])
def test_every_loss_falls_under_both_optimizers(loss, optimizer, planted):
    model = built("complex", planted[0], loss=loss, margin=1.0, optimizer=optimizer, learning_rate=0.05, l3=0.0)
    first = trained(model, 1)
    assert trained(model, 10, 1) < 0.8 * first


@pytest.mark.parametrize("name", TRANSLATION)
def test_equal_seeds_give_equal_vectors_and_others_do_not(name, planted):
    states = []
    for seed in (0, 0, 1):
        model = built(name, planted[0], seed, n_negatives=5, corruption="bernoulli")
        trained(model, 2)
        states.append({k: v.copy() for k, v in model.state().items()})
    assert all(np.array_equal(states[0][k], states[1][k]) for k in states[0])
    assert not np.array_equal(states[0]["entity"], states[2]["entity"])


@pytest.mark.parametrize("optimizer", ["adagrad", "adam"])
def test_resumed_training_goes_on_as_if_never_stopped(optimizer, planted):
    changes = {"optimizer": optimizer, "corruption": "uniform", "n_negatives": 5}
    whole, first, second = (built("transd", planted[0], **changes) for _ in range(3))
    trained(whole, 3)
    trained(first, 2)
    second.restore({k: v.copy() for k, v in first.state().items()})
    trained(second, 3, 2)
    for name, array in whole.state().items():
        np.testing.assert_array_equal(array, second.state()[name])


@pytest.mark.parametrize("name", TRANSLATION)
@pytest.mark.parametrize("side", SIDES)
def test_many_queries_score_as_one_by_one(name, side, planted):
    model = built(name, planted[0])
    trained(model, 1)
    known, relations = np.array([3, 8, 3, 0]), np.array([2, 0, 0, 1])
    many = model.score_links(side, known, relations)
    assert many.shape == (4, SIDE * SIDE)
    assert many.dtype == np.float32
    for row in range(4):
        one = model.score_links(side, known[row : row + 1], relations[row : row + 1])
        np.testing.assert_allclose(one[0], many[row], rtol=1e-5, atol=1e-5)


def test_distances_are_the_roots_of_their_squares(planted):
    squared, plain = (built("transe", planted[0], distance=kind) for kind in ("squared", "euclidean"))
    asked = np.array([0]), np.array([1])
    np.testing.assert_allclose(
        -squared.score_links("tail", *asked), plain.score_links("tail", *asked) ** 2, rtol=1e-4, atol=1e-4
    )


def test_step_moves_only_what_it_met(planted):
    model = built("transe", planted[0], batch_size=2, n_negatives=3, corruption="both")
    before = {k: v.copy() for k, v in model.state().items()}
    model.step(0, 0, 0.0)
    moved = (model.state()["entity"] != before["entity"]).any(1).sum()
    assert 0 < moved <= 2 * 2 + 2 * 3
    assert 0 < (model.state()["relation"] != before["relation"]).any(1).sum() <= 2


def test_first_step_follows_the_gradient_of_the_whole_graph(planted):
    """All triples in one batch, all entities as candidates: Adagrad's first step is the sign of autograd's gradient."""
    graph = planted[0]
    model = built("distmult", graph, batch_size=10_000, learning_rate=0.01, l3=0.1)
    start = {k: torch.from_numpy(v.copy()) for k, v in model.state().items()}
    leaves = {k: start[k].clone().requires_grad_() for k in ("entity", "relation")}
    heads, relations, tails = (torch.from_numpy(graph.triples[:, i].astype(np.int64)) for i in range(3))
    h, r, t = leaves["entity"][heads], leaves["relation"][relations], leaves["entity"][tails]
    objective = 0.1 * sum(x.abs().pow(3).sum() for x in (h, r, t)) / len(h)
    true = {tuple(row) for row in graph.triples.tolist()}
    losses = []
    for i, (head, relation, tail) in enumerate(graph.triples.tolist()):
        for known, asked, shape in ((h[i], tail, 2), (t[i], head, 0)):
            scores = leaves["entity"] @ (known * r[i])
            triple = [head, relation, tail]
            others = [e for e in range(graph.n_entities) if (*triple[:shape], e, *triple[shape + 1 :]) not in true]
            losses.append(torch.logsumexp(scores[[asked, *others]], 0) - scores[asked])
    (objective + torch.stack(losses).mean()).backward()
    model.step(0, 0, 0.0)
    for name, leaf in leaves.items():
        clear = leaf.grad.abs() > 1e-5
        expected = start[name] - 0.01 * leaf.grad.sign()
        assert clear.float().mean() > 0.9
        assert torch.allclose(torch.from_numpy(model.state()[name])[clear], expected[clear], atol=1e-5)


def test_loss_that_is_told_is_the_sum_over_replaced_ends(planted):
    model = built("transe", planted[0])
    told = model.step(0, 0, 0.0)["link"]
    assert told.n_examples == 2 * 16
    assert model.steps_per_epoch == -(-planted[0].n_triples // 16)
    assert model.task_weights() == {"link": 1.0}
    assert model.own_rows() == {}


def test_cubes_hold_vectors_small(planted):
    sizes = []
    for weight in (0.0, 1.0):
        model = built("complex", planted[0], l3=weight)
        trained(model, 10)
        sizes.append(np.abs(model.state()["entity"]).mean())
    assert sizes[1] < 0.8 * sizes[0]


def test_table_is_the_entities_alone_at_length_one(planted):
    model = built("transd", planted[0])
    table, entities = model.table(), model.state()["entity"]
    np.testing.assert_allclose(table.source, entities / np.linalg.norm(entities, axis=1, keepdims=True), rtol=1e-5)
    assert table.target is table.source
    table.source[:] = 0
    assert model.state()["entity"].any()


def test_types_leave_something_to_learn(planted):
    model = built("transe", planted[0], type_constrained=True)
    trained(model, 40)
    assert reciprocal(model, planted) > 0.6


def test_graph_without_triples_is_refused(make_graph):
    with pytest.raises(DataError, match="the graph has 0 triples and 4 entities"):
        built("transe", make_graph(4, []))
    with pytest.raises(DataError, match="between two entities at least"):
        built("transe", make_graph(1, [(0, 0, 0)]))


def test_complex_needs_as_many_real_as_imaginary_parts(planted):
    with pytest.raises(ConfigError, match=r"models\.complex\.embedding_dim = 7 .* make it even"):
        built("complex", planted[0], embedding_dim=7)


def test_model_is_built_by_its_name(planted):
    models = ModelsConfig(transe=TransEConfig(embedding_dim=12))
    model = build_translation("transe", models, planted[0], seed=0, device="cpu")
    assert model.table().source.shape == (SIDE * SIDE, 12)
