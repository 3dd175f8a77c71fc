"""Checked, frozen settings: the base class of every section, and how TOML and `--set` become one.

Each stage and each model keeps its settings class beside its code; `prismrec.settings` joins them into the file a
user writes. A misspelt key is an error that names the nearest valid one: nothing is ever read with `.get`.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from prismrec.errors import ConfigError


class Section(BaseModel):
    """Base class of all settings: immutable, no unknown keys, defaults checked too."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, str_strip_whitespace=False)


SectionT = TypeVar("SectionT", bound=Section)


def read_toml(path: str | Path) -> dict[str, Any]:
    """Parse one TOML file.

    Raises:
        ConfigError: the file is missing or is not TOML.
    """
    try:
        with open(path, "rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise ConfigError(f"cannot read the settings file {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from error


def apply_overrides(values: Mapping[str, Any], overrides: Iterable[str]) -> dict[str, Any]:
    """Return a copy of `values` with `section.key=value` overrides applied; values are parsed as TOML.

    >>> apply_overrides({"training": {"epochs": 5}}, ["training.epochs=9", "training.seed=1"])
    {'training': {'epochs': 9, 'seed': 1}}

    Raises:
        ConfigError: an override has no `=` or steps into something that is not a section.
    """
    result = _deep_copy(values)
    for override in overrides:
        key, separator, text = override.partition("=")
        if not separator or not key.strip():
            raise ConfigError(f"--set expects section.key=value, got {override!r}")
        *sections, name = key.strip().split(".")
        place = result
        for section in sections:
            place = place.setdefault(section, {})
            if not isinstance(place, dict):
                raise ConfigError(f"--set {override!r}: {section!r} is a value, not a section")
        place[name] = _parse_value(text.strip())
    return result


def build(cls: type[SectionT], values: Mapping[str, Any], source: str = "settings") -> SectionT:
    """Check `values` against `cls`.

    Raises:
        ConfigError: one line per problem, each with the key's path, what came, and the nearest valid key.
    """
    try:
        return cls.model_validate(values)
    except ValidationError as error:
        lines = [_explain(cls, problem) for problem in error.errors()]
        raise ConfigError(f"{source}: " + "; ".join(lines)) from error


def _parse_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text  # a bare word is a string, as a shell user expects


def _deep_copy(values: Mapping[str, Any]) -> dict[str, Any]:
    return {k: _deep_copy(v) if isinstance(v, Mapping) else v for k, v in values.items()}


def _explain(cls: type[BaseModel], problem: Any) -> str:
    path = [str(part) for part in problem["loc"]]
    where = ".".join(path) or "top level"
    if problem["type"] == "extra_forbidden":
        valid = _fields_at(cls, path[:-1])
        near = difflib.get_close_matches(path[-1], valid, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"valid keys are {', '.join(sorted(valid))}"
        return f"unknown key {where!r}; {hint}"
    if problem["type"] == "missing":
        return f"{where!r} is required"
    return f"{where!r}: {problem['msg']} (got {problem['input']!r})"


def _fields_at(cls: type[BaseModel], path: list[str]) -> list[str]:
    """Field names of the section that `path` leads to; optional sections are looked through."""
    for part in path:
        field = cls.model_fields.get(part)
        if field is None:
            return []
        options = [field.annotation, *get_args(field.annotation)]
        inner = [o for o in options if isinstance(o, type) and issubclass(o, BaseModel)]
        if not inner:
            return []
        cls = inner[0]
    return list(cls.model_fields)


__all__ = ["Section", "apply_overrides", "build", "read_toml"]
