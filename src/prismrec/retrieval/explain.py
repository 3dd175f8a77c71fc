"""Where a score comes from: exact shares of views, popularity and repetition, and what each item of the history adds.

    score = sum_v q_v . target_v  +  w_pop prior  +  repeat bonus          q_v = w_v sum_h share(h) source_v(h)

so each view's part splits again over the items of the history: share(h) sum_v w_v source_v(h) . target_v. What an
encoder makes of a history does not split. There an item's part is by how much the score falls when it is left out,

    score - (w_item encode(history without h, user) . target + w_pop prior + repeat bonus)

for the latest `LEFT_OUT` of the history; such parts do not add up. Cost: as many encodings. Items that add nothing, as
all do where a user's own vector is the whole query, are not named. Where the model scores candidates itself, its own
score stands in the place of the product; and one that walks through a knowledge graph says by which paths it came.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prismrec.data.schema import ITEM_VIEW, UNKNOWN
from prismrec.models.contract import KnowledgeNames, KnowledgePath
from prismrec.retrieval.answers import ExplainedPath, Explanation
from prismrec.retrieval.asked import Asked, Places, view_scale
from prismrec.retrieval.candidates import Candidates, Space, repeat_bonus
from prismrec.retrieval.query_encoding import QueryEncoding

STRONGEST = 5
"""How many items of the history, and how many paths, an explanation names."""

WALKED = 200
"""Among how many of the strongest paths those are looked for that reach the item: these are named first."""

LEFT_OUT = 50
"""How many of the latest items of a history are left out one by one to see what each adds to an encoded query."""


def explanations(
    space: Space,
    a: Asked,
    chosen: Candidates,
    ids: Callable[[Places], list[Any]],
    encoding: QueryEncoding | None = None,
) -> list[Explanation]:
    """One explanation per candidate.

    Args:
        ids: places -> external ids.
        encoding: what encoded the query, where it was encoded.
    """
    columns, targets, query = space.matrices.columns, space.target_rows(chosen.places), space.query(a)
    popularity, bonus = targets[:, -1] * query[-1], repeat_bonus(a, chosen.places)
    is_read = encoding is not None and a.basis in ("user", "history")
    if encoding is not None and is_read and encoding.scores_candidates:
        parts = {ITEM_VIEW: chosen.scores - popularity - bonus}
    else:
        parts = {v: targets[:, part] @ query[part] for v, part in columns.items() if a.settings.view_weights.get(v)}
    whole = sum(parts.values(), np.zeros(len(chosen), np.float32))
    if encoding is None or a.encoded is None:
        by_item, history = _mixed(space, a, targets), ids(a.history)
        preferred = whole - by_item.sum(axis=1)
    else:
        by_item, history = _left_out(encoding, a, targets, chosen, space.n_items), ids(a.read[-LEFT_OUT:])
        preferred = whole
    has_preferences = a.preference is not None and (a.encoded is None or a.basis == "preferences")
    made = []
    for place in range(len(chosen)):
        strongest = np.argsort(-by_item[place], kind="stable")[:STRONGEST]
        made.append(
            Explanation(
                views={view: float(part[place]) for view, part in parts.items()},
                popularity=float(popularity[place]),
                repeat=float(bonus[place]),
                history=tuple((history[h], float(by_item[place, h])) for h in strongest.tolist() if by_item[place, h]),
                preferences=float(preferred[place]) if has_preferences else 0.0,
                paths=_paths(encoding, a, int(chosen.places[place]), ids) if encoding is not None and is_read else (),
            )
        )
    return made


def _mixed(space: Space, a: Asked, targets: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n_chosen, n_history) float32: what each item of the history adds to a mixture."""
    scale = view_scale(a.settings.view_weights, space.matrices.columns, space.matrices.dim)
    by_item: NDArray[np.float32] = (targets[:, :-1] @ (space.source_rows(a.history) * scale).T) * a.shares[:-1]
    return by_item


def _left_out(
    encoding: QueryEncoding, a: Asked, targets: NDArray[np.float32], chosen: Candidates, n_rows: int
) -> NDArray[np.float32]:
    """(n_chosen, n_latest) float32: by how much the score falls without each of the latest items of the history."""
    n = min(len(a.read), LEFT_OUT) if a.basis in ("user", "history") else 0
    places = range(len(a.read) - n, len(a.read))
    if not n or a.encoded is None:
        return np.zeros((len(targets), 0), np.float32)
    shorter = [np.delete(a.read, place) for place in places]
    if encoding.scores_candidates:
        return _own_left_out(encoding, a, shorter, chosen, n_rows + encoding.n_added)
    without = encoding.vectors(shorter, [a.user] * n)
    by_item: NDArray[np.float32] = targets[:, :-1] @ (a.encoded - without).T
    return by_item * np.float32(a.settings.view_weights.get(ITEM_VIEW, 0.0))


def _own_left_out(
    encoding: QueryEncoding, a: Asked, shorter: Sequence[Places], chosen: Candidates, n_known: int
) -> NDArray[np.float32]:
    """The same by the model's own scores; of an item that it does not know nothing is said."""
    by_item = np.zeros((len(chosen), len(shorter)), np.float32)
    known = np.flatnonzero(chosen.places < n_known)
    asked = [a.read, *shorter]
    scores = encoding.scores(asked, [a.user] * len(asked), [chosen.places[known]] * len(asked))
    by_item[known] = (scores[0] - np.stack(scores[1:])).T
    return by_item


def _paths(
    encoding: QueryEncoding, a: Asked, place: int, ids: Callable[[Places], list[Any]]
) -> tuple[ExplainedPath, ...]:
    """The walks to an item in words; none for an item that was added since, which the graph lacks.

    Attention spreads over many triples, and the strongest of them are much the same for every item: a walk that arrives
    tells more of this one.
    """
    names = encoding.knowledge
    if names is None or place >= len(names.item_entities):
        return ()
    found = encoding.paths(a.read[a.read < len(names.item_entities)], a.user, place, WALKED)
    arriving_first = sorted(found, key=lambda path: path.entities[-1] != names.item_entities[place])
    return tuple(_in_words(path, names, ids) for path in arriving_first[:STRONGEST])


def _in_words(path: KnowledgePath, names: KnowledgeNames, ids: Callable[[Places], list[Any]]) -> ExplainedPath:
    items = names.entity_items[list(path.entities)]
    known = iter(ids(items[items != UNKNOWN]))
    return ExplainedPath(
        entities=tuple(names.entities[entity].as_py() for entity in path.entities),
        item_ids=tuple(None if item == UNKNOWN else next(known) for item in items.tolist()),
        relations=tuple(names.relations[relation] for relation in path.relations),
        weight=path.weight,
    )


__all__ = ["LEFT_OUT", "STRONGEST", "WALKED", "explanations"]
