"""Requests with their ids resolved: which rows a history means, what may not be answered, and the query vector.

A *place* is a row of the bundle (0 .. n_items - 1) or, from n_items on, an item of the overlay.

    q = [w_1 s_1, ..., w_V s_V, w_pop]        s_v = sum_h g^age(h) source_v(h) / sum_h g^age(h)

as in `blend`; declared preferences count as one more item, older than all of the history. Where the bundle has an
encoder, s is what that makes of history and user (`query_encoding`), and preferences stand in where it knows neither.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prismrec.config import build
from prismrec.data.schema import UNKNOWN
from prismrec.data.vocabulary import Vocabulary
from prismrec.errors import ConfigError, DataError, UnknownIdError
from prismrec.retrieval.blend import QuerySettings, Similarity, check_views
from prismrec.retrieval.encoded import check_encoded
from prismrec.retrieval.overlay import Overlay
from prismrec.retrieval.query_encoding import QueryEncoding
from prismrec.retrieval.request import Diversity, Filters, Request, SimilarRequest

Places = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Asked:
    """A request that is ready to be answered.

    Attributes:
        settings: how the history becomes a query, the request's view weights among them.
        history: known items in time order, as places, the latest last; at most `history_length`.
        unknown: ids that are not known, each once.
        basis: what the query is made of, see `answers.Recommendations`.
        unanswered: places that may not be answered: seen, or blocked.
        allowed: places of an allow list, None without one.
        preference: (D,) source vector of declared preferences, None without any.
        user: row of a user that the encoder knows, else -1.
        read: rows of the whole history for the encoder, of items that it knows; empty without an encoder. Items of the
            overlay are among them, as places, where it reads items by their columns.
        encoded: (D,) what the encoder made of user and history; None where the query is a mixture of source vectors.
    """

    settings: QuerySettings
    history: Places
    unknown: tuple[Any, ...]
    basis: str
    unanswered: Places
    allowed: Places | None
    preference: NDArray[np.float32] | None
    k: int
    filters: Filters
    diversity: Diversity
    explain: bool
    user: int = UNKNOWN
    read: Places = field(default_factory=lambda: np.zeros(0, np.int64))
    encoded: NDArray[np.float32] | None = None

    def also_unknown(self, ids: Sequence[Any]) -> Asked:
        """The same with further ids that nobody knows."""
        return replace(self, unknown=_each_once([*self.unknown, *ids]))

    @property
    def ages(self) -> NDArray[np.int64]:
        """(n,) how many items came after each of the history."""
        return np.arange(len(self.history) - 1, -1, -1)

    @property
    def decays(self) -> NDArray[np.float32]:
        """(n,) recency weight of each item of the history."""
        decays: NDArray[np.float32] = np.power(self.settings.recency_decay, self.ages).astype(np.float32)
        return decays

    @property
    def shares(self) -> NDArray[np.float32]:
        """(n + 1,) what each item of the history, and the preferences last, add to the query: they sum to 1."""
        weights = np.append(self.decays, np.float32(0))
        if self.preference is not None:
            weights[-1] = self.settings.recency_decay ** len(self.history)
        total = weights.sum()
        return weights / total if total > 0 else weights

    def query(self, rows: NDArray[np.float32], columns: Mapping[str, slice]) -> NDArray[np.float32]:
        """The query vector.

        Args:
            rows: (n, D) float32: source vectors of the history.
            columns: view -> its columns.

        Returns:
            (D + 1,) float32; nothing but the prior, with weight 1, where nothing is known of the user.
        """
        vector = np.zeros(rows.shape[1] + 1, np.float32)
        vector[:-1] = self._mixed(rows) if self.encoded is None else self.encoded
        vector[:-1] *= view_scale(self.settings.view_weights, columns, rows.shape[1])
        vector[-1] = 1.0 if self.basis == "popularity" else self.settings.popularity_weight
        return vector

    def _mixed(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        shares = self.shares
        mixed: NDArray[np.float32] = shares[:-1] @ rows
        return mixed if self.preference is None else mixed + shares[-1] * self.preference


class Lookup:
    """Ids to places, by the bundle's vocabulary and the overlay's items."""

    def __init__(self, vocabulary: Vocabulary, overlay: Overlay) -> None:
        """Bind both."""
        self._vocabulary = vocabulary
        self._overlay = overlay

    def places(self, ids: Sequence[Any]) -> Places:
        """(n,) places, -1 where unknown. A removed item still tells what its buyers like: its row is given."""
        found: Places = self._vocabulary.find_all(ids)
        if len(self._overlay):
            for at, item_id in enumerate(ids):
                place = self._overlay.place_of(item_id)
                if place != UNKNOWN:
                    found[at] = len(self._vocabulary) + place
        return found

    def rows(self, places: Places) -> Places:
        """(n,) rows of the bundle that hold what was learned of these items, -1 for items that only were added."""
        rows = places.copy()
        for at in np.flatnonzero(places >= len(self._vocabulary)):
            rows[at] = self._vocabulary.find(*self.added(places[[at]]))
        return rows

    def added(self, places: Places) -> list[Any]:
        """The ids of items of the overlay."""
        return [self._overlay.items[place - len(self._vocabulary)].item_id for place in places.tolist()]

    def answerable(self, item_id: Any) -> int:
        """The place of one item that can be answered.

        Raises:
            UnknownIdError: nobody knows the id, or it was removed.
        """
        place = int(self.places([item_id])[0])
        if place == UNKNOWN:
            place = self._vocabulary.index_of(item_id)  # raises, and says what ids look like here
        if place < len(self._vocabulary) and place in self._overlay.hidden:
            raise UnknownIdError(f"unknown id {item_id!r}: the item was removed")
        return place

    def known(self, ids: Sequence[Any], what: str) -> tuple[Places, list[Any]]:
        """Places of the known ids in their order, and the unknown ids.

        Raises:
            DataError: text came instead of a list.
        """
        if isinstance(ids, str | bytes):
            raise DataError(f"{what} is a list of item ids, got the text {ids!r}: write [{ids!r}]")
        places = self.places(ids)
        missing = [item_id for item_id, place in zip(ids, places.tolist(), strict=True) if place == UNKNOWN]
        return places[places != UNKNOWN], missing


def asked(
    request: Request,
    standard: QuerySettings,
    lookup: Lookup,
    preference: NDArray[np.float32] | None,
    encoding: QueryEncoding | None = None,
) -> Asked:
    """Resolve the ids of a request.

    Args:
        standard: query settings where the request brings none.
        preference: (D,) the source vector that its preferences mean; None without any.
        encoding: of the bundle, where it has one; `encoded` then fills in the query.

    Raises:
        ConfigError: k is below 1, a weight is not a number, or it is a user's or setting that means nothing here.
        DataError: the history is not a list of ids.
    """
    _check_k(request.k)
    if encoding is None and request.user is not None:
        raise ConfigError(
            f"the bundle's model mixes the items of a history and knows no users: leave out user {request.user!r}"
        )
    settings = with_weights(request.query or standard, request.weights)
    history, missing = lookup.known(request.history, "a history")
    rows = history if encoding is not None and encoding.n_added else lookup.rows(history)
    if encoding is not None:
        missing += lookup.added(history[rows == UNKNOWN])
    unanswered, allowed, not_listed = _lists(request.filters, lookup)
    if request.exclude_seen:
        unanswered = np.concatenate([unanswered, history])
    known = "preferences" if preference is not None else "popularity"
    whole = Asked(
        settings=settings,
        history=history[-settings.history_length :],
        unknown=_each_once(missing + not_listed),
        basis="history" if len(history) else known,
        unanswered=np.unique(unanswered),
        allowed=allowed,
        preference=preference,
        k=request.k,
        filters=request.filters,
        diversity=request.diversity,
        explain=request.explain,
    )
    return whole if encoding is None else _for_encoder(whole, rows, encoding.user_row(request.user))


def _for_encoder(a: Asked, rows: Places, user: int) -> Asked:
    """The same with what the encoder reads: rows of the whole history, -1 for items that were added since."""
    check_encoded(a.settings)
    read = rows[rows != UNKNOWN]
    known = {"user": user != UNKNOWN, "history": len(read) > 0, "preferences": a.preference is not None}
    basis = next((what for what, is_known in known.items() if is_known), "popularity")
    return replace(a, user=user, read=read, basis=basis)


def encoded(resolved: Sequence[Asked], encoding: QueryEncoding) -> list[Asked]:
    """The same with what the encoder makes of them, all together; of declared preferences alone it is not asked.

    Raises:
        ArtifactError, MissingExtraError: as `QueryEncoding.vectors` has them.
    """
    read = [a for a in resolved if a.basis in ("user", "history")]
    vectors = iter(encoding.vectors([a.read for a in read], [a.user for a in read]) if read else ())
    made = []
    for a in resolved:
        if a.basis in ("user", "history"):
            made.append(replace(a, encoded=next(vectors)))
        else:
            nothing = np.zeros(encoding.dim, np.float32)
            made.append(replace(a, encoded=nothing if a.preference is None else a.preference))
    return made


def asked_similar(request: SimilarRequest, lookup: Lookup, similarity: Similarity = "source_target") -> Asked:
    """Resolve the ids of a request for similar items; popularity plays no part in these.

    Args:
        similarity: where the request names none.

    Raises:
        UnknownIdError: the item is not known, or was removed.
        ConfigError: as for `asked`.
    """
    _check_k(request.k)
    plain = QuerySettings(similarity=request.similarity or similarity, popularity_weight=0.0)
    place = np.array([lookup.answerable(request.item_id)], np.int64)
    unanswered, allowed, missing = _lists(request.filters, lookup)
    return Asked(
        settings=with_weights(plain, request.weights),
        history=place,
        unknown=_each_once(missing),
        basis="item",
        unanswered=np.unique(np.concatenate([unanswered, place])),
        allowed=allowed,
        preference=None,
        k=request.k,
        filters=request.filters,
        diversity=request.diversity,
        explain=request.explain,
    )


def with_weights(settings: QuerySettings, weights: Mapping[str, float] | None) -> QuerySettings:
    """The settings with other view weights.

    Raises:
        ConfigError: a weight is not a finite number.
    """
    if weights is None:
        return settings
    return build(QuerySettings, {**settings.model_dump(), "view_weights": dict(weights)}, "weights")


def view_scale(weights: Mapping[str, float], columns: Mapping[str, slice], dim: int) -> NDArray[np.float32]:
    """(D,) float32: each column's view weight; 0 for views without one.

    Raises:
        ConfigError: there is no such view.
    """
    check_views(weights, columns)
    scale = np.zeros(dim, np.float32)
    for view, weight in weights.items():
        scale[columns[view]] = weight
    return scale


def _lists(filters: Filters, lookup: Lookup) -> tuple[Places, Places | None, list[Any]]:
    blocked, missing = lookup.known(filters.block, "a block list")
    if filters.allow is None:
        return blocked, None, missing
    allowed, also_missing = lookup.known(filters.allow, "an allow list")
    return blocked, allowed, missing + also_missing


def _each_once(ids: Sequence[Any]) -> tuple[Any, ...]:
    """In the order of their first appearance; 1, 1.0 and True are three ids."""
    return tuple({(type(item_id), repr(item_id)): item_id for item_id in ids}.values())


def _check_k(k: int) -> None:
    if k < 1:
        raise ConfigError(f"k, the number of recommendations, must be at least 1, got {k}")


__all__ = ["Asked", "Lookup", "Places", "asked", "asked_similar", "encoded", "view_scale", "with_weights"]
