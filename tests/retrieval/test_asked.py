"""Requests resolved: shares of the history, the query by its formula, ids of every kind."""

import numpy as np
import pytest

from prismrec.errors import ConfigError, UnknownIdError
from prismrec.retrieval.asked import Lookup, asked, asked_similar, view_scale
from prismrec.retrieval.blend import QuerySettings
from prismrec.retrieval.overlay import Overlay
from prismrec.retrieval.request import Filters, NewItem, Request, SimilarRequest

FIRST = 2**60
SETTINGS = QuerySettings(recency_decay=0.5, history_length=3, popularity_weight=0.25)


@pytest.fixture
def lookup(contents):
    return Lookup(contents.vocabularies["item"], Overlay.empty(16, ["item", "category", "shop"]))


def resolved(lookup, *history, preference=None, **named):
    return asked(Request(tuple(FIRST + h for h in history), **named), SETTINGS, lookup, preference)


def test_shares_fall_with_age_and_sum_to_one(lookup):
    assert resolved(lookup, 4, 5, 6).shares.tolist() == pytest.approx([1 / 7, 2 / 7, 4 / 7, 0])


def test_preferences_have_the_share_of_one_older_item(lookup):
    liked = np.ones(2, np.float32)
    assert resolved(lookup, 4, 5, preference=liked).shares.tolist() == pytest.approx([2 / 7, 4 / 7, 1 / 7])
    assert resolved(lookup, preference=liked).shares.tolist() == [1.0]


def test_nothing_known_has_no_shares(lookup):
    a = resolved(lookup)
    assert (a.basis, a.shares.tolist()) == ("popularity", [0.0])


def test_without_any_memory_the_latest_item_alone_counts(lookup):
    a = asked(Request((FIRST, FIRST + 1)), QuerySettings(recency_decay=0), lookup, None)
    assert a.shares.tolist() == [0, 1, 0]


def test_query_is_the_weighted_mean_of_the_history_by_view_and_the_prior(lookup):
    a = resolved(lookup, 1, 2, weights={"item": 2.0, "shop": -1.0})
    rows = np.array([[1, 2, 3, 4], [5, 6, 7, 8]], np.float32)
    query = a.query(rows, {"item": slice(0, 2), "category": slice(2, 3), "shop": slice(3, 4)})
    mean = (rows[0] * 0.5 + rows[1]) / 1.5
    assert query.tolist() == pytest.approx([2 * mean[0], 2 * mean[1], 0, -mean[3], 0.25])


def test_only_the_latest_items_form_the_query_but_all_are_left_out(lookup):
    a = resolved(lookup, 9, 8, 7, 6, 5)
    assert a.history.tolist() == [7, 6, 5]
    assert a.unanswered.tolist() == [5, 6, 7, 8, 9]
    assert resolved(lookup, 9, 8, exclude_seen=False).unanswered.tolist() == []


def test_unknown_ids_come_once_each_in_their_order_and_types_differ(lookup):
    request = Request((1, "1", 1.0, True, 1), filters=Filters(block=("1", None)))
    assert [repr(i) for i in asked(request, SETTINGS, lookup, None).unknown] == ["1", "'1'", "1.0", "True", "None"]


def test_numpy_ids_are_known(lookup):
    assert asked(Request((np.int64(FIRST + 3),)), SETTINGS, lookup, None).history.tolist() == [3]


def test_similar_asks_with_the_item_view_alone_and_no_prior(lookup):
    a = asked_similar(SimilarRequest(FIRST + 2), lookup)
    assert (a.settings.view_weights, a.settings.popularity_weight, a.basis) == ({"item": 1.0}, 0.0, "item")
    assert a.unanswered.tolist() == [2]


def test_an_added_item_is_found_behind_the_rows_of_the_bundle(contents):
    empty = Overlay.empty(16, ["category", "shop"])
    items = (NewItem(item_id="new"), NewItem(item_id=FIRST + 4))
    vectors = np.zeros((2, 17), np.float32)
    added = Overlay(items, vectors[:, 1:], vectors, empty.nodes, np.array([4, 6]), {})
    lookup = Lookup(contents.vocabularies["item"], added)
    assert lookup.places(["new", FIRST + 4, FIRST + 5, "x", True]).tolist() == [15, 16, 5, -1, -1]
    assert lookup.answerable(FIRST + 4) == 16
    with pytest.raises(UnknownIdError, match="the item was removed"):
        lookup.answerable(FIRST + 6)


def test_scale_puts_each_weight_on_the_columns_of_its_view():
    columns = {"item": slice(0, 2), "shop": slice(2, 5)}
    assert view_scale({"shop": -1.5}, columns, 5).tolist() == [0, 0, -1.5, -1.5, -1.5]
    with pytest.raises(ConfigError, match="no view 'shops'; did you mean 'shop'"):
        view_scale({"shops": 1.0}, columns, 5)


@pytest.mark.parametrize("k", [0, -3])
def test_k_below_one_is_refused(lookup, k):
    with pytest.raises(ConfigError, match=f"at least 1, got {k}"):
        resolved(lookup, k=k)
    with pytest.raises(ConfigError, match=f"at least 1, got {k}"):
        asked_similar(SimilarRequest(FIRST, k), lookup)
