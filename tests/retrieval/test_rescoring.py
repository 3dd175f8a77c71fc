"""Models whose score is no product of vectors: the index finds, the model orders; filters, bonus, reasons as ever."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from prismrec.data.schema import UNKNOWN
from prismrec.data.sequences import Sequences
from prismrec.errors import ArtifactError
from prismrec.models.contract import EmbeddingTable, KnowledgeNames, KnowledgePath
from prismrec.retrieval import bundle as bundle_module
from prismrec.retrieval import query_encoding, rescoring
from prismrec.retrieval.blend import QuerySettings
from prismrec.retrieval.bundle import Bundle
from prismrec.retrieval.diversity.rerank import pool_size
from prismrec.retrieval.request import Condition, Diversity, Filters, NewItem, Request, SimilarRequest

FIRST = 2**60
N = 15
PLAIN = QuerySettings(popularity_weight=0.0)


def ids(*places):
    return tuple(FIRST + p for p in places)


def places_of(answer):
    return [item_id - FIRST for item_id in answer.item_ids]


class Opinionated:
    """Products of the mean of a history find candidates; the own score of item i is a wave of sums of indices."""

    def __init__(self, sources):
        self.sources, self.asked = sources, []

    def encode(self, histories, users):
        rows = [self.sources[history].mean(axis=0) if len(history) else np.zeros(6) for history in histories]
        return np.array(rows, np.float32).reshape(len(histories), 6)

    def score_candidates(self, histories, users, candidates):
        assert (candidates >= 0).all()
        assert candidates.max() < len(self.sources)
        self.asked.append(candidates.shape)
        sums = np.array([history.sum() + 1 for history in histories])
        return (5 * np.sin(sums[:, None] * (candidates + 1.7) + users[:, None])).astype(np.float32)


class Straight(Opinionated):
    """Its own score is twice the product and one more."""

    def __init__(self, sources, targets):
        super().__init__(sources)
        self.targets = targets

    def score_candidates(self, histories, users, candidates):
        products = np.take_along_axis(self.encode(histories, users) @ self.targets.T, candidates, axis=1)
        return (2 * products + 1).astype(np.float32)


class Reader(Opinionated):
    """Knows items by their column `wave`."""

    def with_items(self, items):
        return Reader(np.concatenate([self.sources, self.vectors_of(items).source]))

    def vectors_of(self, items):
        rows = np.array([[item["wave"]] * 6 for item in items], np.float32)
        return EmbeddingTable(rows, rows + 1)


class Walker(Opinionated):
    """Tells the walk from the latest item of the history over entity 0 to the candidate."""

    def paths(self, history, user, candidate, n_paths):
        arriving = KnowledgePath((int(history[-1]) + 1, 0, candidate + 1), (0, 1), 0.25)
        return (*[KnowledgePath((int(history[0]) + 1, 0), (1,), 0.3)] * 2, arriving)[:n_paths]


NAMES = KnowledgeNames(
    pa.array(["Robert Zemeckis", *(f"film {i}" for i in range(N))]), ("director", "directed"), np.arange(1, N + 1)
)


@pytest.fixture
def opened(tmp_path, make_encoded, monkeypatch):
    """Make a bundle whose encoder is the given one: `opened(Opinionated)`."""

    def make(kind, **changes):
        contents = make_encoded()
        stored = replace(contents.encoder, knowledge=NAMES)
        bundle = Bundle.write(tmp_path / "bundle", replace(contents, encoder=stored, query=PLAIN, **changes))
        arrays = bundle.contents.encoder.arrays
        given = (
            (arrays["sources"], bundle.contents.vectors["item"].target) if kind is Straight else (arrays["sources"],)
        )
        encoder = kind(*given)
        for module in (query_encoding, bundle_module):
            monkeypatch.setattr(module, "open_encoder", lambda stored: encoder)
        return bundle, encoder

    return make


def own_scores(bundle, history, settings=PLAIN, user=UNKNOWN):
    return bundle.recommender(settings).score_users(Sequences.from_lists([history]), np.array([user]))[0]


@pytest.mark.parametrize(
    "query",
    [
        PLAIN,
        PLAIN.model_copy(update={"popularity_weight": 0.7}),
        PLAIN.model_copy(update={"repeat_weight": 3.0, "recency_decay": 0.5, "popularity_weight": -0.2}),
    ],
)
@pytest.mark.parametrize("exclude_seen", [True, False])
def test_where_the_pool_holds_the_catalogue_answers_are_the_best_of_the_whole_of_it(opened, query, exclude_seen):
    bundle, _ = opened(Opinionated)
    history = (3, 8, 3, 11)
    scores = own_scores(bundle, history, query)
    assert scores[5] != pytest.approx(float(bundle.contents.vectors["item"].target[5] @ np.zeros(6)))
    if exclude_seen:
        scores[list(history)] = -np.inf
    best = np.argsort(-scores, kind="stable")[:6]
    answer = bundle.recommend(ids(*history), 6, settings=query, exclude_seen=exclude_seen)
    assert places_of(answer) == best.tolist()
    assert [a.score for a in answer] == pytest.approx(scores[best].tolist(), abs=1e-5)


def test_the_user_is_told_to_the_model(opened):
    bundle, _ = opened(Opinionated)
    answer = bundle.recommend(ids(2), N, user="bob")
    scores = own_scores(bundle, (2,), user=1)
    assert [a.score for a in answer] == pytest.approx(np.sort(np.delete(scores, 2))[::-1].tolist(), abs=1e-5)


def test_products_find_the_pool_and_the_model_orders_it(opened):
    bundle, encoder = opened(Opinionated)
    vectors = bundle.contents.vectors["item"]
    products = encoder.sources[[4]].mean(axis=0) @ vectors.target.T
    products[4] = -np.inf
    pool = np.argsort(-products)[:5]
    answer = bundle.recommend(ids(4), 3, settings=PLAIN.model_copy(update={"rescored": 5}))
    scores = own_scores(bundle, (4,))
    assert places_of(answer) == pool[np.argsort(-scores[pool])][:3].tolist()
    assert encoder.asked[0] == (1, 5)
    wide = bundle.recommend(ids(4), 8, settings=PLAIN.model_copy(update={"rescored": 5}))  # never fewer than asked for
    assert len(wide) == 8


def test_filters_come_before_the_pool(opened):
    bundle, _ = opened(Opinionated)
    milk = Filters(where={"category": Condition(any_of=("fluid milk",))}, block=ids(6))
    scores = own_scores(bundle, (4,))
    left = [place for place in range(0, N - 1, 3) if place != 6]
    answer = bundle.recommend(ids(4), 2, filters=milk, settings=PLAIN.model_copy(update={"rescored": 4}))
    assert places_of(answer) == sorted(left, key=lambda place: -scores[place])[:2]


def test_queries_of_all_kinds_are_answered_in_one_call(opened, monkeypatch):
    monkeypatch.setattr(rescoring, "AT_ONCE", 2 * N)
    bundle, encoder = opened(Opinionated)
    requests = [
        Request(ids(4), 5), Request((), 5), Request(ids(1, 2), 3, filters=Filters(allow=ids(5, 6))),
        Request(ids(7), 5), Request(preferences={"category": ("100% juice",)}, k=5), Request(ids(9), 2),
    ]  # fmt: skip
    together = bundle.retriever.recommend(requests)
    assert max(rows for rows, _ in encoder.asked) == 2
    for request, answer in zip(requests, together, strict=True):
        assert answer == bundle.retriever.recommend([request])[0]
    assert together[1].basis == "popularity"
    assert together[4].basis == "preferences"
    assert set(places_of(together[2])) == {5, 6}


def test_lists_that_spread_choose_among_the_models_own_best(opened):
    bundle, _ = opened(Opinionated)
    spread = bundle.recommend(ids(4), 4, diversity=Diversity(level=0.4))
    pool = bundle.recommend(ids(4), pool_size(Diversity(level=0.4), 4))
    scores = {a.item_id: a.score for a in pool}
    assert all(a.score == pytest.approx(scores[a.item_id]) for a in spread)
    assert 0 < spread.report.relevance_kept <= 1
    few = bundle.recommend(ids(4), 5, diversity=Diversity(quotas={"shop": 2}))
    assert len(few) >= 3


def test_similar_items_do_not_ask_the_model(opened):
    bundle, encoder = opened(Opinionated)
    [answer] = bundle.retriever.similar([SimilarRequest(FIRST + 3, 5)])
    assert len(answer) == 5
    assert encoder.asked == []


def test_explanations_are_the_own_score_and_what_leaving_an_item_out_would_take(opened):
    bundle, _ = opened(Opinionated)
    query = PLAIN.model_copy(update={"popularity_weight": 0.3, "repeat_weight": 0.5})
    history = (3, 8, 3, 11)
    answer = bundle.recommend(ids(*history), 4, settings=query, exclude_seen=False, explain=True)
    plain = query.model_copy(update={"repeat_weight": 0.0})
    for a in answer:
        told, place = a.explanation, a.item_id - FIRST
        assert list(told.views) == ["item"]
        assert told.views["item"] + told.popularity + told.repeat == pytest.approx(a.score, abs=1e-5)
        whole = own_scores(bundle, history, plain)[place]
        lost = [whole - own_scores(bundle, np.delete(history, h), plain)[place] for h in range(4)]
        assert [share for _, share in told.history] == pytest.approx(sorted(lost, reverse=True), abs=1e-5)


def test_paths_are_told_in_names_and_item_ids(opened):
    bundle, _ = opened(Walker)
    [a] = bundle.recommend(ids(3, 8), 1, explain=True, filters={"allow": ids(5)})
    first, second, _ = a.explanation.paths  # the one that arrives comes first
    assert str(first) == "film 8 -> director -> Robert Zemeckis -> directed -> film 5"
    assert first.item_ids == (FIRST + 8, None, FIRST + 5)
    assert (first.relations, first.weight) == (("director", "directed"), 0.25)
    assert str(second) == "film 3 -> directed -> Robert Zemeckis"
    assert bundle.recommend(ids(3), 1)[0].explanation is None
    assert bundle.recommend((), 1, explain=True)[0].explanation.paths == ()  # popularity walks nowhere


def test_models_without_a_graph_tell_no_paths(opened):
    bundle, _ = opened(Opinionated)
    assert bundle.recommend(ids(3), 1, explain=True)[0].explanation.paths == ()


def test_an_added_item_is_carried_over_to_the_scale_of_the_model(opened):
    bundle, encoder = opened(Straight)
    retriever = bundle.retriever.upserted([NewItem(item_id=FIRST + 99, views={"category": ["fluid milk"]})])
    [answer] = retriever.recommend([Request(ids(1, 2), N, explain=True)])
    scores = {a.item_id - FIRST: a.score for a in answer}
    product = float(
        encoder.encode(Sequences.from_lists([[1, 2]]), np.array([-1]))[0] @ retriever.overlay.targets[0, :-1]
    )
    assert scores[99] == pytest.approx(2 * product + 1, abs=1e-4)
    [told] = [a.explanation for a in answer if a.item_id == FIRST + 99]
    assert told.views["item"] == pytest.approx(scores[99], abs=1e-4)
    assert (told.history, told.paths) == ((), ())


def test_added_items_alone_keep_their_products(opened):
    bundle, encoder = opened(Straight)
    retriever = bundle.retriever.upserted([NewItem(item_id=FIRST + 99, views={"category": ["fluid milk"]})])
    [answer] = retriever.recommend([Request(ids(1), 3, filters=Filters(allow=(FIRST + 99,)))])
    product = float(encoder.sources[1] @ retriever.overlay.targets[0, :-1])
    assert [a.score for a in answer] == [pytest.approx(product, abs=1e-5)]


def test_a_model_that_reads_columns_scores_added_items_and_reads_them_in_histories(opened):
    bundle, _ = opened(Reader)
    added = [NewItem(item_id=FIRST + 99, columns={"wave": 0.25}), NewItem(item_id=FIRST + 98, columns={"wave": 0.5})]
    retriever = bundle.retriever.upserted(added)
    np.testing.assert_allclose(retriever.overlay.sources, [[0.25] * 6, [0.5] * 6])
    np.testing.assert_allclose(retriever.overlay.targets[:, :-1], [[1.25] * 6, [1.5] * 6])
    [answer] = retriever.recommend([Request((*ids(1), FIRST + 99), N + 2)])  # the second of two added has place N
    scores = {a.item_id - FIRST: a.score for a in answer}
    place = {item.item_id: at for at, item in enumerate(retriever.overlay.items)}
    total = 1 + N + place[FIRST + 99] + 1
    assert scores[98] == pytest.approx(5 * np.sin(total * (N + place[FIRST + 98] + 1.7) - 1), abs=1e-4)
    assert scores[0] == pytest.approx(5 * np.sin(total * 1.7 - 1), abs=1e-4)
    assert answer.unknown_ids == ()
    assert FIRST + 99 not in answer.item_ids
    [again] = retriever.without([FIRST + 99]).recommend([Request(ids(1), N + 2)])
    assert FIRST + 98 in again.item_ids
    assert FIRST + 99 not in again.item_ids


def test_scores_that_are_not_finite_are_refused(opened, monkeypatch):
    bundle, encoder = opened(Opinionated)
    monkeypatch.setattr(
        encoder, "score_candidates", lambda h, u, c: np.full(c.shape, np.nan, np.float32), raising=False
    )
    with pytest.raises(ArtifactError, match=r"gave scores of shape \(1, 14\).*not finite: train again"):
        bundle.recommend(ids(3), 2)
