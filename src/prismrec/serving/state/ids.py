"""Ids as the state's tables hold them: JSON text, so that 7 and "7" stay two ids.

An id comes back as it went in, with one exception: a UUID and its text are one id, and come back as text. JSON has no
UUIDs: what a table calls `UUID('12345678-...')` a request can only call `"12345678-..."`, and both must meet in one
history. Whoever asks a vocabulary of UUIDs turns text into UUIDs first, for stored histories as for requests.

The text is ASCII (`json.dumps` escapes the rest): any id, with a NUL in it or an emoji, is the same in every database
and under every collation.
"""

from __future__ import annotations

import json
import re
import uuid
from typing import Any

import numpy as np

from prismrec.errors import DataError

LONGEST_ID = 1000
"""Characters of an id's JSON text. Two of them fit into one entry of a PostgreSQL index (2,704 bytes)."""

_SURROGATE = re.compile("[\ud800-\udfff]")
_LEAST, _BEYOND = -(2**63), 2**64  # what an Arrow id column holds, signed or unsigned


def id_text(external_id: Any, what: str = "item id") -> str:
    """The JSON text of an id: an integer of 64 bits, text, or a UUID; `numpy` scalars are what they hold.

    >>> id_text(7), id_text("7")
    ('7', '"7"')

    Raises:
        DataError: it is none of these, too long, or text that is no Unicode; names `what`.
    """
    value = external_id.item() if isinstance(external_id, np.generic) else external_id
    if isinstance(value, uuid.UUID):
        value = str(value)
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise DataError(f"the {what} {external_id!r:.80} is no id: expected an integer, text or a UUID")
    if isinstance(value, int) and not _LEAST <= value < _BEYOND:
        raise DataError(f"the {what} is an integer of {value.bit_length()} bits: ids have 64 at most; send it as text")
    text = json.dumps(value)
    if isinstance(value, str) and _SURROGATE.search(value):
        raise DataError(f"the {what} {text[:40]} is no text: it holds half of a surrogate pair")
    if len(text) > LONGEST_ID:
        raise DataError(f"the {what} {text[:40]}... has {len(text)} characters as JSON: {LONGEST_ID} are allowed")
    return text


def id_of(text: str) -> int | str:
    """The id behind a text of `id_text`; a UUID comes back as text."""
    external_id: int | str = json.loads(text)
    return external_id


__all__ = ["LONGEST_ID", "id_of", "id_text"]
