"""Choosing settings on validation data: coordinate ascent over a grid.

Every contender of a comparison is tuned alike: same validation queries, same metric, same procedure. Test queries are
never seen here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np

from prismrec.config import Section, build
from prismrec.errors import ConfigError, TrainingError

SectionT = TypeVar("SectionT", bound=Section)

Space = Mapping[str, Sequence[Any]]
"""Field -> values to try; `section.field` reaches into a section or a dict of the settings."""


@dataclass(frozen=True)
class Tuned(Generic[SectionT]):
    """What tuning chose.

    Attributes:
        settings: the best settings.
        score: their score on validation data.
        n_tried: how many different settings were scored.
    """

    settings: SectionT
    score: float
    n_tried: int


def tune(start: SectionT, space: Space, score: Callable[[SectionT], float], n_rounds: int = 2) -> Tuned[SectionT]:
    """Better one field at a time, in the order of the space, until a round changes nothing.

    The start is always among the candidates and wins ties, so tuning never ends below it.

    Raises:
        TrainingError: a score is not finite.
        ConfigError: the space names a field that the settings lack.
    """
    known: dict[str, float] = {}

    def scored(settings: SectionT) -> float:
        key = settings.model_dump_json()
        if key not in known:
            known[key] = float(score(settings))
            if not np.isfinite(known[key]):
                raise TrainingError(f"the validation score of {key} is {known[key]}: it cannot be ranked")
        return known[key]

    best = start
    for _ in range(n_rounds):
        before = best
        for field, values in space.items():
            for value in values:
                candidate = replaced(best, field, value)
                if scored(candidate) > scored(best):
                    best = candidate
        if best == before:
            break
    return Tuned(best, scored(best), len(known))


def replaced(settings: SectionT, field: str, value: Any) -> SectionT:
    """A checked copy of the settings with one field changed.

    Raises:
        ConfigError: there is no such field, or it does not take the value.
    """
    values = settings.model_dump()
    *path, name = field.split(".")
    place = values
    for part in path:
        if not isinstance(place.get(part), dict):
            raise ConfigError(f"cannot tune {field!r}: {type(settings).__name__} has no section {part!r}")
        place = place[part]
    if not path and name not in place:
        raise ConfigError(f"cannot tune {field!r}: {type(settings).__name__} has no such field")
    place[name] = value
    return build(type(settings), values, f"tuning {field}")


__all__ = ["Space", "Tuned", "replaced", "tune"]
