"""Values as JSON text, whatever they are: an answer or a log line that cannot be written helps nobody."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic_core import to_json


def encoded(value: Any) -> bytes:
    """UTF-8 JSON; numbers that are not finite become null, values that JSON lacks become text.

    >>> encoded({"price": float("nan"), "id": 2**60})
    b'{"price":null,"id":1152921504606846976}'
    """
    try:
        return to_json(value, inf_nan_mode="null", bytes_mode="base64")
    except ValueError:  # a type that pydantic does not know, or text with half a character
        return to_json(_plain(value), inf_nan_mode="null")


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {_plain(str(key)): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    return str(value).encode("utf-8", "backslashreplace").decode()


__all__ = ["encoded"]
