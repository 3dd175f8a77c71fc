"""Bodies as requests to the retriever: ids parsed, settings filled in by the bundle that answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from prismrec.errors import ConfigError
from prismrec.retrieval.blend import QuerySettings
from prismrec.retrieval.diversity.rerank import pool_size
from prismrec.retrieval.request import Request, SimilarRequest
from prismrec.retrieval.retriever import REFILL
from prismrec.serving.live import Live
from prismrec.serving.schemas import Question, Recommend, Similar

WEIGHED_AT_THE_COST_OF_ONE = 20_000
"""Places times candidates that cost about what a plain question does, 1 to 2 ms on one core."""


def request_of(body: Recommend, stored: Sequence[Any], live: Live) -> Request:
    """What is asked of the retriever; `stored` is the history of the user that the body names."""
    history = (*stored, *body.history)
    contents = live.bundle.contents
    query = query_of(body, contents.query)
    if contents.encoder is not None:
        _refuse_idle(body, query or contents.query, contents.encoder.algorithm)
    return Request(
        history=tuple(map(live.parsed, history)),
        k=body.k,
        query=query,
        weights=body.weights,
        exclude_seen=body.exclude_seen,
        filters=body.filters_for(live.parsed),
        diversity=body.spread,
        preferences=body.preferences,
        explain=body.explain,
        user=body.user_id if live.bundle.knows_users else None,
    )


def similar_request_of(body: Similar, live: Live) -> SimilarRequest:
    """What is asked of the retriever."""
    return SimilarRequest(
        item_id=live.parsed(body.item_id),
        k=body.k,
        weights=body.weights,
        similarity=body.similarity,
        filters=body.filters_for(live.parsed),
        diversity=body.spread,
        explain=body.explain,
    )


def effort_of(body: Question) -> float:
    """What a question costs the answering thread, in plain questions: diversity looks at its pool for every place.

    Quotas may leave a list short and have it made again from a larger pool.
    """
    if not body.diversity:
        return 1
    rounds = REFILL if body.spread.quotas else 1
    return max(1.0, rounds * body.k * pool_size(body.spread, body.k) / WEIGHED_AT_THE_COST_OF_ONE)


def query_of(body: Recommend, standard: QuerySettings) -> QuerySettings | None:
    """The bundle's query settings with what the request sets; None where it sets nothing."""
    knobs = {
        "recency_decay": body.recency_decay,
        "history_length": body.history_length,
        "popularity_weight": body.popularity_weight,
    }
    given = {name: value for name, value in knobs.items() if value is not None}
    return standard.model_copy(update=given) if given else None


def _refuse_idle(body: Recommend, query: QuerySettings, algorithm: str) -> None:
    """Refuse knobs that would change nothing: an encoder reads a history in its own way."""
    for name in ("recency_decay", "history_length"):
        if getattr(body, name) is not None and not query.repeat_weight:
            raise ConfigError(
                f"{name} changes nothing here: the bundle's model, {algorithm}, reads histories in its own way, and no "
                "bonus for repeats is set; leave it out"
            )


__all__ = ["effort_of", "query_of", "request_of", "similar_request_of"]
