"""Finding candidates: optimistic search, the masked one behind it, and both with added and removed items."""

import numpy as np
import pytest

from prismrec.errors import ConfigError
from prismrec.retrieval import candidates as module
from prismrec.retrieval.asked import Lookup, asked
from prismrec.retrieval.blend import QuerySettings, popularity_prior
from prismrec.retrieval.candidates import Candidates, Search, Space, repeat_bonus
from prismrec.retrieval.filters.item_filter import ItemFilter
from prismrec.retrieval.index.item_index import ItemIndex
from prismrec.retrieval.overlay import Overlay
from prismrec.retrieval.request import Condition, Filters, Request

FIRST = 2**60
VIEWS = ["item", "category", "shop"]


@pytest.fixture
def search(bundle):
    return search_over(bundle, Overlay.empty(16, VIEWS))


def search_over(bundle, overlay):
    contents = bundle.contents
    matrices, index = bundle.retriever._shared.of("source_target")
    return Search(
        Space("source_target", matrices, index, overlay),
        ItemFilter(contents.item_nodes, contents.vocabularies, contents.item_columns),
    )


def request(search, bundle, *history, **named):
    lookup = Lookup(bundle.items, search.space.overlay)
    settings = named.pop("settings", QuerySettings(popularity_weight=1.0))
    return asked(Request(tuple(FIRST + h for h in history), **named), settings, lookup, None)


def by_hand(search, a):
    """All answerable rows by falling score: no index, no tricks."""
    scores = search.space.matrices.targets @ search.space.query(a)
    order = np.argsort(-scores, kind="stable")
    return [i for i in order.tolist() if i not in a.unanswered and i not in search.space.overlay.hidden]


def test_masked_and_optimistic_search_find_the_same(search, bundle, monkeypatch):
    a = request(search, bundle, 3, 5, 8)
    [optimistic] = search.best([a], [6])
    monkeypatch.setattr(search, "_is_plain", lambda a: False)
    [masked] = search.best([a], [6])
    assert optimistic.places.tolist() == masked.places.tolist() == by_hand(search, a)[:6]
    assert optimistic.scores == pytest.approx(masked.scores)


def test_more_seen_items_among_the_best_than_reckoned_with_cost_no_answers(search, bundle, monkeypatch):
    monkeypatch.setattr(module, "SPARE", 1)
    best = by_hand(search, request(search, bundle))
    a = request(search, bundle, filters=Filters(block=tuple(FIRST + i for i in best[:6])))
    [found] = search.best([a], [5])
    assert found.places.tolist() == best[6:11]


@pytest.fixture
def searches(monkeypatch):
    """How many queries and candidates the index was asked for, search by search."""
    made = []
    index_search = ItemIndex.search

    def watched(index, queries, k, allowed=None):
        made.append((len(queries), k))
        return index_search(index, queries, k, allowed)

    monkeypatch.setattr(ItemIndex, "search", watched)
    return made


def test_a_long_history_is_not_asked_for_on_top(search, bundle, searches, monkeypatch):
    monkeypatch.setattr(module, "SPARE", 2)
    search.best([request(search, bundle, *range(9))], [3])
    assert searches[0] == (1, 5)


def test_requests_that_want_few_do_not_pay_for_those_that_want_many(search, bundle, searches, monkeypatch):
    monkeypatch.setattr(module, "FEW", 4)
    many = [request(search, bundle, 1), request(search, bundle, 2), request(search, bundle)]
    found = search.best(many, [3, 9, 2])
    assert searches == [(2, 4), (1, 10)]
    assert [c.places.tolist() for c in found] == [by_hand(search, a)[:n] for a, n in zip(many, [3, 9, 2], strict=True)]


def test_requests_of_different_sizes_share_one_search(search, bundle):
    many = [request(search, bundle, 1), request(search, bundle, *range(9)), request(search, bundle)]
    found = search.best(many, [2, 9, 15])
    assert [c.places.tolist() for c in found] == [by_hand(search, a)[:n] for a, n in zip(many, [2, 9, 15], strict=True)]


def test_more_removed_items_than_reckoned_with_cost_no_answers(bundle, monkeypatch):
    monkeypatch.setattr(module, "SPARE", 1)
    empty = Overlay.empty(16, VIEWS)
    search = search_over(bundle, empty.without([], range(10)))
    a = request(search, bundle)
    [found] = search.best([a], [5])
    assert found.places.tolist() == by_hand(search, a)
    assert len(found) == 5


def test_a_punished_repeat_makes_room_for_the_next_best(search, bundle):
    punished = QuerySettings(popularity_weight=1.0, repeat_weight=-100.0)
    a = request(search, bundle, 0, 1, settings=punished, exclude_seen=False)
    [found] = search.best([a], [13])
    assert len(found) == 13
    assert not {0, 1} & set(found.places.tolist())


def test_a_favoured_repeat_obeys_filters(search, bundle):
    favoured = QuerySettings(repeat_weight=100.0)
    where = Filters(where={"category": Condition(any_of=("fluid milk",))})
    a = request(search, bundle, 3, 4, settings=favoured, exclude_seen=False, filters=where)
    [found] = search.best([a], [5])
    assert found.places[0] == 3
    assert 4 not in found.places


def test_repeat_bonus_by_hand(search, bundle):
    settings = QuerySettings(repeat_weight=2.0, recency_decay=0.5)
    a = request(search, bundle, 7, 2, 7, settings=settings, exclude_seen=False)
    assert repeat_bonus(a, np.array([7, 2, 5])).tolist() == [2 * (0.25 + 1), 2 * 0.5, 0]


def test_the_prior_is_the_last_column(search, bundle):
    a = request(search, bundle)
    [found] = search.best([a], [15])
    prior = popularity_prior(bundle.items.counts)
    assert found.scores.tolist() == pytest.approx(sorted(prior.tolist(), reverse=True))


def test_queries_too_large_for_float32_are_refused(search, bundle):
    with pytest.raises(ConfigError, match="too large"):
        search.best([request(search, bundle, 1, weights={"item": 1e20})], [3])


def test_candidates_know_their_length_and_first_ones():
    both = Candidates(np.array([4, 2]), np.array([2.0, 1.0], np.float32))
    assert (len(both), both.first(1).places.tolist()) == (2, [4])
