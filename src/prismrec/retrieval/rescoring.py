"""Candidates that a model orders by a score of its own, where no product of vectors gives it.

    score(i) = own(history, user, i) + w_pop prior(i) + bonus for repeats         among the `rescored` best by products

The index finds more candidates than were asked for, filters and lists kept as always; the model orders these. Where the
catalogue has no more items than that, the answer is exact; else what products do not find is not answered.

An item that was added since is scored by a model that reads items by their columns. To any other model it is nobody:
its product is carried over to the model's scale by the straight line that fits the other candidates of the query best.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from prismrec.retrieval.asked import Asked, Places
from prismrec.retrieval.candidates import Candidates, Search, Space, repeat_bonus
from prismrec.retrieval.query_encoding import QueryEncoding

AT_ONCE = 1_000_000
"""Pairs of a query and a candidate that the model scores at a time."""


def best_by_own_score(
    search: Search, asked: Sequence[Asked], sizes: Sequence[int], encoding: QueryEncoding
) -> list[Candidates]:
    """The `sizes[i]` best candidates of each request, in the order of the model's own scores.

    Args:
        asked: requests that the encoder made a query of.
        encoding: of a model that scores candidates itself; it knows the items of the search's overlay or none of them.

    Raises:
        ArtifactError: the model does not give finite numbers.
    """
    wanted = [max(size, a.settings.rescored) for a, size in zip(asked, sizes, strict=True)]
    pools = search.best(asked, wanted)
    longest = max(1, max(map(len, pools), default=1))
    step, best = max(1, AT_ONCE // longest), []
    for start in range(0, len(asked), step):
        part = slice(start, start + step)
        owns = own_scores(search.space, asked[part], pools[part], encoding)
        for pool, scores, size in zip(pools[part], owns, sizes[part], strict=True):
            order = np.lexsort((pool.places, -scores))[:size]
            best.append(Candidates(pool.places[order], scores[order]))
    return best


def own_scores(
    space: Space, asked: Sequence[Asked], pools: Sequence[Candidates], encoding: QueryEncoding
) -> list[NDArray[np.float32]]:
    """Whole scores of the candidates of each request, by the model itself."""
    n_known = space.n_items + encoding.n_added
    known = [pool.places < n_known for pool in pools]
    rows = [pool.places[own] for pool, own in zip(pools, known, strict=True)]
    found = encoding.scores([a.read for a in asked], [a.user for a in asked], rows)
    whole = []
    for a, pool, own, scores in zip(asked, pools, known, found, strict=True):
        besides = popularity_part(space, a, pool.places) + repeat_bonus(a, pool.places)
        products = pool.scores - besides
        total = _carried_over(products, products[own], scores)
        total[own] = scores
        whole.append((total + besides).astype(np.float32))
    return whole


def popularity_part(space: Space, a: Asked, places: Places) -> NDArray[np.float32]:
    """(n,) float32: what the popularity prior adds to the score of each candidate."""
    part: NDArray[np.float32] = space.target_rows(places)[:, -1] * np.float32(a.settings.popularity_weight)
    return part


def _carried_over(
    products: NDArray[np.float32], known: NDArray[np.float32], scores: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Products on the scale of scores, by the least squares line through (known, scores), which never falls."""
    if len(known) < 2 or not known.std() > 0:
        return products.copy()
    centred = known - known.mean()
    slope = max(0.0, float(centred @ (scores - scores.mean()) / (centred @ centred)))
    carried: NDArray[np.float32] = scores.mean() + np.float32(slope) * (products - known.mean())
    return carried


__all__ = ["best_by_own_score", "own_scores", "popularity_part"]
