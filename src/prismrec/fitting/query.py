"""How a trained model is asked, chosen on validation queries; its vectors stay as they are."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from prismrec.data.prepared import PreparedData
from prismrec.data.schema import ITEM_VIEW
from prismrec.data.sequences import Sequences
from prismrec.evaluation.tuning import Space, Tuned, tune
from prismrec.fitting.fitted import AnyFitted, Fitted, FittedEncoder
from prismrec.fitting.validation import Validation, validation_score
from prismrec.models.contract import CandidateScorer, QueryEncoder
from prismrec.retrieval.blend import QuerySettings
from prismrec.retrieval.encoded import EncodedScorer

RECENCY_DECAYS = (0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 1.0)
HISTORY_LENGTHS = (10, 30, 100, 300)
REPEAT_WEIGHTS = (-8.0, -4.0, -2.0, -1.0, 0.0, 0.5, 1.0, 2.0, 4.0, 8.0)

ENCODER_PRIORS = (0.0, 0.05, 0.1, 0.2, 0.4, 0.8, 1.2)
"""Weights of the popularity prior that an encoder is tried with: it has learned from clicks, popularity included."""


def tune_query(fitted: AnyFitted, queries: Validation, start: QuerySettings) -> Tuned[QuerySettings]:
    """Choose view weights, recency, prior and repeat bonus, as far as the model has them."""
    repeats, data = not queries.exclude_seen, fitted.data
    if isinstance(fitted, Fitted):
        views = fitted.scorer(start)
        return tune(
            start,
            query_space(data, start, repeats=repeats),
            lambda query: validation_score(views.with_settings(query), queries, data),
        )
    encoded = _remembering(fitted, start)
    return tune(
        start, encoder_space(repeats=repeats), lambda q: validation_score(encoded.with_settings(q), queries, data)
    )


def query_space(data: PreparedData, start: QuerySettings, *, repeats: bool) -> Space:
    """What tuning tries for each knob of a query, coarse on purpose: fine grids fit the validation noise."""
    space: dict[str, tuple[Any, ...]] = {f"view_weights.{ITEM_VIEW}": (0.5, 1.0, 1.5, 2.0, 3.0)}
    space |= {f"view_weights.{view}": (0.0, 0.25, 0.5, 1.0, 2.0, 4.0) for view in data.views}
    space |= {"recency_decay": RECENCY_DECAYS, "history_length": HISTORY_LENGTHS}
    if start.popularity_weight:  # switched off means off: an ablation must stay one
        space["popularity_weight"] = (0.25, 0.5, 0.75, 1.0, 1.25)
    if repeats:
        space["repeat_weight"] = REPEAT_WEIGHTS
    return space


def encoder_space(*, repeats: bool) -> Space:
    """The same for a model that encodes queries: what a history says is its own business, but for repeats."""
    space: dict[str, tuple[Any, ...]] = {"popularity_weight": ENCODER_PRIORS}
    if repeats:
        space |= {"repeat_weight": (*REPEAT_WEIGHTS, 16.0, 32.0), "recency_decay": RECENCY_DECAYS}
    return space


class _Remembering:
    """An encoder asked the same again and again: each batch is encoded once."""

    def __init__(self, encoder: QueryEncoder) -> None:
        self._encoder = encoder
        self._known: dict[tuple[bytes, bytes, bytes], NDArray[np.float32]] = {}

    def encode(self, histories: Sequences, users: NDArray[np.int64]) -> NDArray[np.float32]:
        key = (histories.values.tobytes(), histories.offsets.tobytes(), users.tobytes())
        if key not in self._known:
            self._known[key] = self._encoder.encode(histories, users)
        return self._known[key]


class _RememberingScorer(_Remembering):
    """The same of a model that scores candidates itself: these scores are remembered too."""

    def __init__(self, encoder: QueryEncoder, scorer: CandidateScorer) -> None:
        super().__init__(encoder)
        self._scorer = scorer
        self._scored: dict[tuple[bytes, ...], NDArray[np.float32]] = {}

    def score_candidates(
        self, histories: Sequences, users: NDArray[np.int64], candidates: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        key = tuple(a.tobytes() for a in (histories.values, histories.offsets, users, candidates))
        if key not in self._scored:
            self._scored[key] = self._scorer.score_candidates(histories, users, candidates)
        return self._scored[key]


def _remembering(fitted: FittedEncoder, query: QuerySettings) -> EncodedScorer:
    own, targets = fitted.model.encoder(), fitted.model.table().target
    encoder = _RememberingScorer(own, own) if isinstance(own, CandidateScorer) else _Remembering(own)
    return EncodedScorer(encoder, targets, fitted.data.items.counts, query)


__all__ = ["HISTORY_LENGTHS", "RECENCY_DECAYS", "encoder_space", "query_space", "tune_query"]
