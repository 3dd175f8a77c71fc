"""Entities that a title is said to name, and which of its words they are.

Two ways to write them down are read: `9048:Donald Trump;4465:Blake Lively`, as DKN's authors publish their clicks, and
the JSON lists of MIND. Neither says which words are meant in a form that survives cleaning a title, so a word is of
the entity in whose name it occurs.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from prismrec.data.news.words import words
from prismrec.data.schema import UNKNOWN
from prismrec.errors import DataError


class Mention(NamedTuple):
    """An entity, by its id, under the name that the title gives it."""

    entity: str
    name: str


def read_mentions(text: str | None) -> tuple[Mention, ...]:
    """Mentions as `id:name;id:name`; none of an empty text. A name may hold colons, and no semicolon.

    Raises:
        DataError: a part has no id or no name.
    """
    found = []
    for part in (text or "").split(";"):
        entity, _, name = (piece.strip() for piece in part.partition(":"))
        if entity and name:
            found.append(Mention(entity, name))
        elif part.strip():
            raise DataError(f"expected the entities of a title as id:name;id:name, got {part.strip()!r} in {text!r}")
    return tuple(found)


def write_mentions(mentions: Sequence[Mention]) -> str:
    """What `read_mentions` reads; a semicolon in a name becomes a comma."""
    return ";".join(f"{entity}:{name.replace(';', ',')}" for entity, name in mentions)


def read_mind_mentions(text: str | None) -> tuple[Mention, ...]:
    """Mentions as MIND has them: a JSON list of objects with `WikidataId` and `SurfaceForms`.

    Raises:
        DataError: it is no such list.
    """
    if not text:
        return ()
    try:
        return tuple(_of_mind(entry) for entry in json.loads(text))
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise DataError(f"expected a JSON list of entities with WikidataId and SurfaceForms, got {text!r}") from error


def entities_of_words(title: Sequence[str], mentions: Sequence[Mention]) -> list[int]:
    """The place in `mentions` of the entity that each word of a title belongs to, -1 where none.

    A word that is in several names is of the one of which the title has most words, the first of them on a tie.

    >>> entities_of_words(["trump", "tower", "opens"], [Mention("1", "Donald Trump"), Mention("2", "Trump Tower")])
    [1, 1, -1]
    """
    names = [set(words(name)) for _, name in mentions]
    present = set(title)
    strength = [len(name & present) for name in names]
    order = sorted(range(len(names)), key=lambda place: -strength[place])
    return [next((place for place in order if word in names[place]), UNKNOWN) for word in title]


def _of_mind(entry: dict[str, Any]) -> Mention:
    return Mention(str(entry["WikidataId"]), str(entry["SurfaceForms"][0]))


__all__ = ["Mention", "entities_of_words", "read_mentions", "read_mind_mentions", "write_mentions"]
