"""Reasons: the strongest items of a history, no more of them than can be read."""

import pytest

from prismrec.retrieval.blend import QuerySettings
from prismrec.retrieval.explain import STRONGEST
from prismrec.retrieval.request import Request

FIRST = 2**60


def test_long_histories_are_told_by_their_strongest_items(bundle, contents):
    query = QuerySettings(view_weights={"item": 1.0}, popularity_weight=0.0, recency_decay=1.0, history_length=9)
    [answer] = bundle.retriever.recommend([Request(tuple(FIRST + i for i in range(9)), 2, query, explain=True)])
    item = contents.vectors["item"]
    for a in answer:
        shares = sorted((float(item.source[h] @ item.target[a.item_id - FIRST]) / 9 for h in range(9)), reverse=True)
        assert [share for _, share in a.explanation.history] == pytest.approx(shares[:STRONGEST], abs=1e-6)


def test_without_a_history_popularity_is_all_there_is(bundle):
    [answer] = bundle.retriever.recommend([Request(k=3, explain=True)])
    for a in answer:
        assert (a.explanation.popularity, a.explanation.history) == (pytest.approx(a.score), ())
        assert sum(a.explanation.views.values()) == 0
