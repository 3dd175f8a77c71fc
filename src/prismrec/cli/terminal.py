"""What a command says and where: results on stdout, all else on stderr, so that stdout can be read by a program."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from rich.console import Console, RenderableType
from rich.text import Text

WIDTH = 120
"""Columns of a table that goes into a file or a pipe."""


def show(renderable: RenderableType) -> None:
    """Print a result. Plain text is printed as it is: ids and names of the data are never markup."""
    text = isinstance(renderable, str | Text)  # wrapped by the terminal alone, so that a path can be copied whole
    _console(sys.stdout).print(Text(renderable) if isinstance(renderable, str) else renderable, soft_wrap=text)


def say(text: str) -> None:
    """Tell the person, on stderr."""
    _console(sys.stderr).print(Text(text), soft_wrap=True)


def emit(document: Any) -> None:
    """Print one JSON document, the whole of stdout."""
    print(as_json(document))


def keep(document: Any, output: Path | None) -> None:
    """Write everything that was measured to a file, whole or not at all, and say where; nothing without one."""
    from prismrec.files import whole_file

    if output is None:
        return
    with whole_file(output) as partial:
        partial.write_text(as_json(document) + "\n", encoding="utf-8")
    say(f"everything that was measured: {output}")


def as_json(document: Any) -> str:
    """JSON text; what JSON has no type for becomes text, and numbers that are not finite become null."""
    return json.dumps(plain(document), indent=2, ensure_ascii=False, allow_nan=False)


def width() -> int:
    """How many characters a line of results may have."""
    return _console(sys.stdout).width


def plain(value: Any) -> Any:
    """The value in the types that JSON has.

    >>> plain({"id": 9007199254740993, "price": float("nan"), "tags": ("a", "b")})
    {'id': 9007199254740993, 'price': None, 'tags': ['a', 'b']}
    """
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        return [plain(inner) for inner in value]
    return str(value)


@contextmanager
def busy(text: str) -> Iterator[Callable[[str, str], None]]:
    """Show on a terminal that something is going on; elsewhere say so in a line.

    The context is a function: `turn(done, following)` says what is done and what comes next.
    """
    console = _console(sys.stderr)
    if not console.is_terminal:

        def turn(done: str, following: str) -> None:
            say(done)
            say(following)

        say(text)
        yield turn
        return
    with console.status(Text(text)) as status:

        def turn_live(done: str, following: str) -> None:
            console.print(Text(done))
            status.update(Text(following))

        yield turn_live


def _console(stream: IO[str]) -> Console:
    fixed = None if stream.isatty() or "COLUMNS" in os.environ else WIDTH
    return Console(file=stream, width=fixed, highlight=False)


__all__ = ["as_json", "busy", "emit", "keep", "plain", "say", "show", "width"]
