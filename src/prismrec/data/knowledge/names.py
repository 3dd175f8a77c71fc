"""When two spellings name one thing: underscores, case, Unicode forms, annotations such as "(screenplay by)"."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from urllib.parse import unquote

from prismrec.data.knowledge.settings import Kind

MISSING = frozenset({"", "n/a", "na", "nan", "none", "null", "unknown", "not available", "-", "\\n"})
"""What sources write where they know nothing, in lower case."""

_ANNOTATION = re.compile(r"\([^()]*(?:\)|$)")
_SPACES = re.compile(r"[\s_]+")
_YEAR = re.compile(r"(?<!\d)([12]\d{3})(?!\d)")


def spelled(text: str) -> str:
    """A name as a person reads it: one Unicode form, spaces for underscores, no spaces at the ends.

    >>> spelled(" Benjamin_Franklin ")
    'Benjamin Franklin'
    """
    return _SPACES.sub(" ", unicodedata.normalize("NFKC", text)).strip()


def without_annotations(text: str) -> str:
    """Text without what stands in parentheses, which in lists of people says what they did.

    >>> without_annotations("Joss Whedon (screenplay by)")
    'Joss Whedon'
    """
    previous = None
    while previous != text:  # from the innermost parentheses outwards
        previous, text = text, _ANNOTATION.sub("", text)
    return text.strip()


def name_of(text: str, kind: Kind) -> str:
    """What a value names, to be shown; empty where it names nothing of its kind.

    >>> name_of("22 Nov 1995", "year")
    '1995'
    """
    if kind == "year":
        found = _YEAR.search(text)
        return found.group(1) if found else ""
    name = spelled(without_annotations(text) if kind == "person" else text)
    return name if any(letter.isalnum() for letter in name) else ""


def key_of(name: str, kind: Kind) -> str:
    """What all spellings of one name have in common; initials of people are the same with and without full stops.

    >>> key_of("J.J. Abrams", "person") == key_of("J. J. ABRAMS", "person")
    True
    """
    folded = spelled(name).casefold()
    return _SPACES.sub(" ", folded.replace(".", " ")).strip() if kind == "person" else folded


def is_missing(text: str) -> bool:
    """Whether a source says with this text that it knows nothing."""
    return text.strip().casefold() in MISSING


def readable(entity_id: str) -> str:
    """The id of an entity as a label, where there is no better one: the end of an address, spaces for underscores.

    >>> readable("http://dbpedia.org/resource/Tom_Hanks")
    'Tom Hanks'
    """
    text = entity_id
    if "://" in text:
        text = unquote(re.split(r"[/#]", text.rstrip("/#"))[-1])
    return spelled(text) or entity_id


def most_frequent(spellings: Iterable[tuple[str, int]]) -> str:
    """The spelling that occurs most often, the first in the order of text where several do."""
    return min(spellings, key=lambda pair: (-pair[1], pair[0]))[0]


__all__ = ["MISSING", "is_missing", "key_of", "most_frequent", "name_of", "readable", "spelled", "without_annotations"]
