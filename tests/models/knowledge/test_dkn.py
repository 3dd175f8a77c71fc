"""DKN: scores against loops, its objective, what only titles and only the graph can tell, articles that come later."""

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

torch = pytest.importorskip("torch")

from prismrec.data.knowledge.graph import ItemKnowledge, KnowledgeGraph  # noqa: E402
from prismrec.data.prepared import PreparedData  # noqa: E402
from prismrec.data.sequences import Sequences  # noqa: E402
from prismrec.data.vocabulary import Vocabulary  # noqa: E402
from prismrec.errors import ConfigError, DataError  # noqa: E402
from prismrec.models.contract import CandidateScorer, ItemReader  # noqa: E402
from prismrec.models.knowledge import dkn  # noqa: E402
from prismrec.models.knowledge.configs import DKNConfig  # noqa: E402
from prismrec.models.knowledge.dkn import DKN, DKNEncoder  # noqa: E402
from prismrec.models.neural.trainable import TorchTraining  # noqa: E402

SMALL = {"embedding_dim": 8, "filters": 6, "hidden_dim": 8, "batch_size": 64, "learning_rate": 0.02, "max_history": 5}
TOPICS = ["sport goal team", "film star scene", "vote senate law"]
N_USERS = 30


def columns(n_per_topic=12, seed=0):
    """Titles of three topics, two words of the topic and one of none in each, and who is in them."""
    rng = np.random.default_rng(seed)
    titles, annotations = [], []
    for topic, words in enumerate(TOPICS):
        for number in range(n_per_topic):
            chosen = rng.choice(words.split(), 2, replace=False).tolist()
            person = f"person{topic}{number % 2}"
            titles.append(" ".join([*chosen, f"day{number % 4}", person]))
            annotations.append(f"{topic}{number % 2}:{person}")
    return pa.table({"title": titles, "annotations": annotations})


def news(table=None, n_new=6):
    """Users who click articles of one topic and are shown others; the last of each topic nobody has seen."""
    table = columns() if table is None else table
    rng, n_per_topic = np.random.default_rng(3), len(table) // 3
    topics = np.arange(len(table)) // n_per_topic
    old = np.arange(len(table)) % n_per_topic < n_per_topic - n_new // 3
    histories, disliked = [], []
    for user in range(N_USERS):
        liked = np.flatnonzero((topics == user % 3) & old)
        other = np.flatnonzero((topics != user % 3) & old)
        histories.append(rng.choice(liked, 6, replace=False))
        disliked.append(rng.choice(other, 6, replace=False))
    rows = Sequences.from_lists(histories)
    items = Vocabulary.from_ids([f"a{n}" for n in range(len(table))], np.bincount(rows.values, minlength=len(table)))
    users = Vocabulary.from_ids(list(range(N_USERS)))
    data = PreparedData(items, rows, users, rows, item_columns=table, disliked=Sequences.from_lists(disliked))
    return data, topics, old


def built(data, seed=0, **values):
    return DKN(DKNConfig(**{**SMALL, **values}), data, seed=seed, device="cpu")


def taught(model, epochs):
    learner = TorchTraining(model, seed=0)
    for epoch in range(epochs):
        for step in range(learner.steps_per_epoch):
            learner.step(epoch, step, 0.0)
    return model


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def learned():
    data, topics, old = news()
    return data, topics, old, taught(built(data), 12)


def unknown(n):
    return np.full(n, -1, np.int64)


def all_scores(encoder, histories, n_items):
    rows = Sequences.from_lists(histories)
    candidates = np.tile(np.arange(n_items), (len(rows), 1))
    return encoder.score_candidates(rows, unknown(len(rows)), candidates)


# ---- formulas ----


def softmax(x):
    e = np.exp(x - x.max())
    return e / e.sum()


def by_loops(network, vectors, history, candidate):
    """Equations (1) to (3), with whole first layers; `vectors`: (n_items, F)."""
    value = {name: parameter.detach().numpy().astype(np.float64) for name, parameter in network.named_parameters()}
    mine = vectors[candidate]
    if network.attends:
        matrix = np.concatenate([value["attention_in"][0], value["attention_in"][1]])
        logits = [
            np.maximum(np.concatenate([vectors[k], mine]) @ matrix + value["attention_bias"], 0)
            @ value["attention_out"]
            for k in history
        ]
        shares = softmax(np.array(logits))
    else:
        shares = np.full(len(history), 1 / len(history))
    user = sum(share * vectors[k] for share, k in zip(shares, history, strict=True))
    matrix = np.concatenate([value["click_in"][0], value["click_in"][1]])
    hidden = np.maximum(np.concatenate([user, mine]) @ matrix + value["click_bias"], 0)
    return hidden @ value["click_out"] + value["click_shift"]


@pytest.mark.parametrize("attention", [True, False])
def test_candidates_are_scored_as_the_equations_say(attention):
    data, *_ = news()
    model = built(data, parts={"attention": attention})
    encoder = model.encoder()
    vectors = model.stored().arrays["articles"].astype(np.float64)
    histories = [[3, 1, 14], [30], [2, 2, 5]]
    found = all_scores(encoder, histories, len(data.items))
    for row, history in zip(found, histories, strict=True):
        expected = [by_loops(model.network, vectors, history, j) for j in range(len(data.items))]
        np.testing.assert_allclose(row, expected, rtol=1e-3, atol=1e-4)


def test_products_are_those_of_the_query_and_the_target(learned):
    model = learned[3]
    value = {name: parameter.detach().numpy() for name, parameter in model.network.named_parameters()}
    vectors = model.stored().arrays["articles"]
    query = model.encoder().encode(Sequences.from_lists([[4, 9]]), unknown(1))
    np.testing.assert_allclose(query[0], [*(vectors[[4, 9]].mean(0) @ value["queries"]), 1.0], rtol=1e-4, atol=1e-5)
    table = model.table()
    expected = np.column_stack([vectors @ value["targets"], vectors @ value["target_bias"]])
    np.testing.assert_allclose(table.target, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(table.source[4], [*(vectors[4] @ value["queries"]), 1.0], rtol=1e-4, atol=1e-5)


def test_the_objective_is_the_log_loss_of_the_rows_and_the_variance_of_what_products_miss():
    data, *_ = news()
    model = taught(built(data), 1)
    batch = model._batches.batch(3, 0)
    vectors = model.stored().arrays["articles"].astype(np.float64)
    items = batch.articles
    losses = []
    for group, candidate, seen, label in zip(batch.group, batch.candidates, batch.seen, batch.labels, strict=True):
        history = items[batch.clicked[group][seen]]
        logit = by_loops(model.network, vectors, history, items[candidate])
        losses.append(np.log1p(np.exp(-logit if label else logit)))
    missed = []
    table = model.table()
    taught_candidates = items[batch.candidates[:: -(-len(batch.candidates) // dkn._TAUGHT_CANDIDATES)]]
    for row in batch.clicked:
        history = items[row[row >= 0]]
        query = model.encoder().encode(Sequences.from_lists([history]), unknown(1))[0]
        wanted = [by_loops(model.network, vectors, history, j) for j in taught_candidates]
        missed.append(np.var(table.target[taught_candidates] @ query - wanted))
    objective = model.objective(3, 0)
    assert objective.losses["click"].mean == pytest.approx(np.mean(losses), rel=1e-4)
    assert objective.losses["click"].n_examples == len(batch.labels)
    assert objective.losses["retrieval"].mean == pytest.approx(np.mean(missed), rel=1e-3)
    assert objective.value.item() == pytest.approx(np.mean(losses) + np.mean(missed), rel=1e-3)


def test_what_finds_candidates_teaches_the_network_nothing():
    model = built(news()[0])
    batch = model._batches.batch(0, 0)
    vectors = model.network.titles(*dkn.tensors_of(model._articles.take(batch.articles), "cpu"))
    halves = model.network.halves(vectors)
    model._retrieval(vectors.detach(), dkn.Halves(*(half.detach() for half in halves)), batch).backward()
    reached = {name for name, p in model.network.named_parameters() if p.grad is not None and p.grad.any()}
    assert reached == {"targets", "target_bias"}  # queries too, once targets have left zero


# ---- what it learns ----


def test_users_are_answered_with_articles_of_their_topic_new_ones_too(learned):
    data, topics, old, model = learned
    scores = all_scores(model.encoder(), data.histories, len(data.items))
    for asked in (old, ~old):
        for user, row in enumerate(scores):
            own = topics == user % 3
            assert row[own & asked].mean() > row[~own & asked].mean() + 1


def test_products_find_what_the_network_prefers(learned):
    data, topics, _, model = learned
    products = model.encoder().encode(data.histories, unknown(N_USERS)) @ model.table().target.T
    assert all(topics[row.argmax()] == user % 3 for user, row in enumerate(products))


def circles(control):
    """Titles that differ in who is meant alone; users like the people of one of two circles, as the graph has them."""
    rng = np.random.default_rng(0)
    n = 24
    circle = rng.permutation(n) % 2
    held = np.arange(n) >= n - 8  # nobody saw these: nothing is known of them but where they are in the graph
    table = pa.table({"title": ["a star speaks"] * n, "annotations": [f"e{k}:Star" for k in range(n)]})
    rows = [rng.permutation(np.flatnonzero((circle == user % 2) & ~held))[:5] for user in range(40)]
    shown = [rng.permutation(np.flatnonzero((circle != user % 2) & ~held))[:5] for user in range(40)]
    histories = Sequences.from_lists(rows)
    triples = np.column_stack([np.arange(n), np.zeros(n), n + circle]).astype(np.int32)
    names = [*(f"e{k}" for k in range(n)), "circle 0", "circle 1"]
    graph = KnowledgeGraph(Vocabulary.from_ids(names), ("is in",), triples, pa.array(names))
    data = PreparedData(
        Vocabulary.from_ids(list(range(n)), np.bincount(histories.values, minlength=n)),
        histories,
        Vocabulary.from_ids(list(range(40))),
        histories,
        item_columns=table,
        knowledge=ItemKnowledge(graph, np.full(n, -1)),
        disliked=Sequences.from_lists(shown),
    )
    parts = {"channels": "context", "control": control}
    model = taught(built(data, parts=parts, vectors={"words": "random"}, learning_rate=0.03), 8)
    scores = all_scores(model.encoder(), histories, n)
    right = [
        row[held & (circle == u % 2)].mean() - row[held & (circle != u % 2)].mean() for u, row in enumerate(scores)
    ]
    return np.array(right)


def test_a_preference_that_only_the_graph_explains_is_found_and_lost_without_the_graph():
    assert (circles("none") > 1).mean() > 0.9
    assert (circles("shuffled") > 1).mean() < 0.7
    np.testing.assert_allclose(circles("absent"), 0, atol=1e-5)


# ---- articles that come later ----


def test_an_article_that_comes_later_is_read_as_it_would_have_been(learned):
    data, _, _, model = learned
    encoder = model.encoder()
    assert isinstance(encoder, ItemReader)
    assert isinstance(encoder, CandidateScorer)
    known = data.item_columns.slice(5, 2).to_pylist()
    wider = encoder.with_items([*known, {"title": "goal by person00"}, {}])
    n = len(data.items)
    scores = all_scores(wider, [[0, 1], [n, n + 2]], n + 4)
    np.testing.assert_allclose(scores[:, n : n + 2], scores[:, 5:7], rtol=1e-5)
    np.testing.assert_allclose(scores[:1, :n], all_scores(encoder, [[0, 1]], n), rtol=1e-6)
    assert np.isfinite(scores).all()
    table, own = encoder.vectors_of(known), model.table()
    np.testing.assert_allclose(table.source, own.source[5:7], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(table.target, own.target[5:7], rtol=1e-4, atol=1e-6)


def test_what_is_stored_opens_as_the_same_encoder(learned):
    data, _, _, model = learned
    stored = model.stored()
    opened = DKNEncoder.opened(json.loads(json.dumps(stored.config)), stored.arrays)
    before, after = (all_scores(e, [[0, 1], [7], []], len(data.items)) for e in (model.encoder(), opened))
    np.testing.assert_array_equal(before, after)
    new = [{"title": "goal by person00"}]
    np.testing.assert_array_equal(opened.vectors_of(new).target, model.encoder().vectors_of(new).target)
    assert not stored.knows_users
    assert all(array.dtype.kind in "fiub" for array in stored.arrays.values())


def test_blocks_of_queries_and_candidates_do_not_change_scores(learned, monkeypatch):
    encoder = learned[3].encoder()
    histories = [[0, 1, 2, 3, 4, 5, 6], [7], [], [30, 31]]
    whole, vectors = all_scores(encoder, histories, 20), encoder.encode(Sequences.from_lists(histories), unknown(4))
    monkeypatch.setattr(dkn, "_NUMBERS_AT_ONCE", 5 * 8 * 3)
    np.testing.assert_allclose(all_scores(encoder, histories, 20), whole, rtol=1e-5)
    np.testing.assert_allclose(encoder.encode(Sequences.from_lists(histories), unknown(4)), vectors, rtol=1e-5)
    for row, history in enumerate(histories):
        np.testing.assert_allclose(all_scores(encoder, [history], 20)[0], whole[row], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(all_scores(encoder, [histories[0][2:]], 20)[0], whole[0], rtol=1e-5)  # max_history is 5


def test_a_query_without_history_is_zero(learned):
    encoder = learned[3].encoder()
    assert not all_scores(encoder, [[]], 4).any()
    assert not encoder.encode(Sequences.from_lists([[]]), unknown(1)).any()


# ---- settings ----


def test_vectors_that_are_not_trained_stay_as_they_began():
    data, *_ = news()
    model = built(data, vectors={"trained": False})
    before = [p.detach().clone() for p in (model.network.titles.words, model.network.titles.entities.vectors)]
    taught(model, 1)
    assert torch.equal(model.network.titles.words, before[0])
    assert torch.equal(model.network.titles.entities.vectors, before[1])


def test_drawn_negatives_take_the_place_of_what_a_log_does_not_say():
    data, topics, _ = news()
    model = taught(built(replace(data, disliked=None), n_negatives=2), 10)
    scores = all_scores(model.encoder(), data.histories, len(data.items))
    assert np.mean([topics[row.argmax()] == user % 3 for user, row in enumerate(scores)]) > 0.9


def test_data_without_an_item_table_are_refused():
    with pytest.raises(DataError, match=r"dkn reads titles, and the data have no item table: set data\.items"):
        built(replace(news()[0], item_columns=None))


def test_entities_as_channels_without_a_map_need_vectors_as_long_as_words(tmp_path):
    import pyarrow.parquet as pq

    path = tmp_path / "item.parquet"
    pq.write_table(pa.table({"id": ["00", "01"], "source": [[1.0, 2.0, 3.0]] * 2}), path)
    data = news()[0]
    with pytest.raises(ConfigError, match="needs vectors of entities as long as those of words, got 3 and 8"):
        built(data, vectors={"entities": str(path)}, parts={"mapping": "none"})
    assert built(data, vectors={"entities": str(path)}).network.titles.entities.vectors.shape[1] == 3
