"""Which column a side view is made of, and the nodes that one value of it stands for.

Apart from `views`, which reads whole tables on the engine: a server that is told of a new item needs no engine.
"""

from __future__ import annotations

import uuid
from typing import Any

from pydantic import Field

from prismrec.config import Section
from prismrec.errors import DataError


class ViewSettings(Section):
    """Where a view's values come from."""

    column: str = Field(description="column of the item or user table; a list column gives several nodes")
    separator: str = Field(
        default="", description="split text at this, such as '|', into several nodes; empty = one node"
    )
    prefix: int = Field(
        default=0, ge=0, description="only the first so many characters, such as 3 of a stock code; 0 = all"
    )


def node_values(settings: ViewSettings, value: Any) -> tuple[Any, ...]:
    """The node ids that one value of the view's column stands for, by the rules of `views.build_view`.

    >>> node_values(ViewSettings(column="genres", separator="|"), "Drama| Crime|")
    ('Drama', 'Crime')

    Raises:
        DataError: the value cannot be node ids.
    """
    values = value if isinstance(value, list | tuple) else [value]
    if settings.separator and isinstance(value, str):
        values = [part.strip() for part in value.split(settings.separator)]
    present = [v for v in values if v is not None and v != ""]
    for each in present:
        if isinstance(each, bool) or not isinstance(each, str | int | uuid.UUID):
            raise DataError(f"column {settings.column!r}: expected text, integers or lists of them, got {each!r}")
    if settings.prefix:
        present = [str(each)[: settings.prefix] for each in present]
    return tuple(dict.fromkeys(present))


__all__ = ["ViewSettings", "node_values"]
