"""Where a score comes from: exact shares of views, popularity and repetition, and what each item of the history adds.

    score = sum_v q_v . target_v  +  w_pop prior  +  repeat bonus          q_v = w_v sum_h share(h) source_v(h)

so each view's part splits again over the items of the history: share(h) sum_v w_v source_v(h) . target_v.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from prismrec.retrieval.answers import Explanation
from prismrec.retrieval.asked import Asked, Places, view_scale
from prismrec.retrieval.candidates import Candidates, Space, repeat_bonus

STRONGEST = 5
"""How many items of the history an explanation names."""


def explanations(space: Space, a: Asked, chosen: Candidates, ids: Callable[[Places], list[Any]]) -> list[Explanation]:
    """One explanation per candidate.

    Args:
        ids: places -> external ids.
    """
    columns, targets, query = space.matrices.columns, space.target_rows(chosen.places), space.query(a)
    rows = space.source_rows(a.history) * view_scale(a.settings.view_weights, columns, space.matrices.dim)
    parts = {v: targets[:, part] @ query[part] for v, part in columns.items() if a.settings.view_weights.get(v)}
    popularity, bonus = targets[:, -1] * query[-1], repeat_bonus(a, chosen.places)
    by_item = (targets[:, :-1] @ rows.T) * a.shares[:-1]
    preferred = sum(parts.values(), np.zeros(len(chosen), np.float32)) - by_item.sum(axis=1)
    history = ids(a.history)
    made = []
    for place in range(len(chosen)):
        strongest = np.argsort(-by_item[place], kind="stable")[:STRONGEST]
        made.append(
            Explanation(
                views={view: float(part[place]) for view, part in parts.items()},
                popularity=float(popularity[place]),
                repeat=float(bonus[place]),
                history=tuple((history[h], float(by_item[place, h])) for h in strongest.tolist()),
                preferences=float(preferred[place]) if a.preference is not None else 0.0,
            )
        )
    return made


__all__ = ["STRONGEST", "explanations"]
