"""What a search found as a settings file, which `prismrec train` and `prismrec evaluate` read as any other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from prismrec.config import apply_overrides
from prismrec.files import whole_file
from prismrec.search.search import Found
from prismrec.search.toml_text import toml_text
from prismrec.settings import PATHS, Settings, is_path, read_settings, read_values, section_at


def write_settings(found: Found, config: Path, overrides: Iterable[str], output: Path) -> Settings:
    """Write the user's settings file with `--set` and what was found in it.

    Paths are written from the folder of the output where they lie in it, else in full.

    Returns:
        the settings, read again from what was written.

    Raises:
        ArtifactError: the output cannot be written.
    """
    values = apply_overrides(read_values(config), overrides)
    for field, value in found.changes.items():
        _put(values, field, value)
    _relocate(values, output.resolve().parent)
    best = found.best
    told = f"# Found by `prismrec tune {config}`: trial {best.number} of {len(found.trials)}, score {best.score:.4f}"
    with whole_file(output) as partial:
        partial.write_text(f"{told}\n\n{toml_text(values)}", encoding="utf-8")
    return read_settings(output)


def _put(values: dict[str, Any], field: str, value: Any) -> None:
    *sections, name = field.split(".")
    for section in sections:
        values = values.setdefault(section, {})
    values[name] = value


def _relocate(values: Mapping[str, Any], folder: Path) -> None:
    for place_of, keys in PATHS.items():
        section = section_at(values, place_of)
        for key in keys:
            place = section.get(key)
            if isinstance(place, str) and is_path(place):
                path = Path(place).absolute()
                section[key] = str(path.relative_to(folder) if path.is_relative_to(folder) else path)


__all__ = ["write_settings"]
