"""Nested values as the text of a TOML file: what `tomllib` reads, it reads back equal."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from prismrec.errors import ConfigError


def toml_text(values: Mapping[str, Any]) -> str:
    r"""The values of every section first, then the sections within it.

    >>> toml_text({"algorithm": "mf", "models": {"mf": {"l2": 1e-05}}})
    'algorithm = "mf"\n\n[models.mf]\nl2 = 1e-05\n'

    Raises:
        ConfigError: TOML has nothing for a value, such as None.
    """
    return "\n".join(_sections(values, ())).lstrip("\n") + "\n"


def _sections(values: Mapping[str, Any], path: tuple[str, ...]) -> list[str]:
    own = {key: value for key, value in values.items() if not isinstance(value, Mapping)}
    inner = {key: value for key, value in values.items() if isinstance(value, Mapping)}
    lines = [f"{_key(key)} = {_value(value, (*path, key))}" for key, value in own.items()]
    if path and (lines or not inner):  # a section of nothing but sections needs no heading
        lines = ["", f"[{'.'.join(map(_key, path))}]", *lines]
    for key, value in inner.items():
        lines += _sections(value, (*path, key))
    return lines


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _string(key)


def _value(value: Any, path: tuple[str, ...]) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else str(value)  # inf and nan, as TOML spells them
    if isinstance(value, list | tuple):
        return f"[{', '.join(_value(one, path) for one in value)}]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_key(k)} = {_value(v, path)}" for k, v in value.items()) + "}"
    raise ConfigError(f"TOML has nothing for {'.'.join(path)} = {value!r}")


def _string(text: str) -> str:
    """JSON's escapes are TOML's, but for the one control character that JSON leaves as it is."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


__all__ = ["toml_text"]
