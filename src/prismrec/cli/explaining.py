"""`prismrec explain`: why an item has the score that it has for somebody."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from prismrec.cli.options import AsJson, BundleFolder
from prismrec.cli.terminal import emit, say, show

if TYPE_CHECKING:
    from collections.abc import Sequence

    from prismrec.retrieval.answers import ExplainedPath, Recommendation
    from prismrec.retrieval.bundle import Bundle


_NAMED = 5
"""How many unknown items are named."""


def explain(
    bundle: BundleFolder,
    who: Annotated[
        str,
        typer.Argument(
            metavar="USER_OR_HISTORY",
            help="A user of the log that the bundle was trained on, or items with commas between: 1029743,995242",
        ),
    ],
    item: Annotated[str, typer.Argument(metavar="ITEM", help="Id of the item, as in your tables.")],
    as_json: AsJson = False,
) -> None:
    """Say where the score of an item comes from: views, popularity, each item of the history, and the knowledge graph.

    A bundle does not hold what users did: their history is read from the log that its settings name, as it is there
    now. A history of one item ends with a comma. The item itself is left out of the history.

    Of a model that learned from a knowledge graph come paths that it attended to, such as
    `Cast Away -> director -> Robert Zemeckis -> inverse of director -> Contact`: first those that arrive at the item.

    Example: `prismrec explain bundle 4169 1527`
    """
    from prismrec.retrieval.bundle import Bundle
    from prismrec.retrieval.request import Filters

    opened = Bundle.open(bundle)
    wanted = opened.items.parsed(item)
    opened.items.index_of(wanted)
    user = None if "," in who or not opened.knows_users else who
    history = [one for one in _history(opened, who) if one != wanted]
    found = opened.recommend(
        history, 1, user=user, exclude_seen=False, explain=True, filters=Filters(allow=(wanted,))
    )  # fmt: skip
    if found.unknown_ids:
        some = ", ".join(map(repr, found.unknown_ids[:_NAMED])) + (", ..." if len(found.unknown_ids) > _NAMED else "")
        say(f"left out of the history, unknown to the bundle: {some} ({len(found.unknown_ids)} in all)")
    answer = found[0]
    if as_json:
        explanation = None if answer.explanation is None else asdict(answer.explanation)
        asked = {"user": user, "history": history, "basis": found.basis}
        emit({**asked, "item_id": answer.item_id, "score": answer.score, "explanation": explanation})
    else:
        _show(opened, answer, found.basis)


def path_line(path: ExplainedPath, names: Sequence[str]) -> str:
    """A path with its share of attention; `names` stand for its entities."""
    steps = (f" -> {relation} -> {name}" for relation, name in zip(path.relations, names[1:], strict=True))
    return f"{path.weight:5.1%}  {names[0]}{''.join(steps)}"


def _history(opened: Bundle, who: str) -> list[Any]:
    """The items of the history: named, or what the log says of the user.

    Raises:
        ConfigError: the bundle's settings name no log.
        UnknownIdError: the log has no such user.
        DataError: the log is not there, or cannot be read.
    """
    if "," in who:
        return [opened.items.parsed(text.strip()) for text in who.split(",") if text.strip()]
    from prismrec.data import engine
    from prismrec.data.schema import ITEM_ID, ROW, TIMESTAMP, USER_ID
    from prismrec.errors import ConfigError, UnknownIdError
    from prismrec.inputs import read_tables
    from prismrec.settings import build_settings

    settings = build_settings(opened.contents.config)
    if not settings.data.interactions:
        raise ConfigError(
            f"the settings of {opened.path} name no click log to read the history of {who!r} from: give the items "
            "instead, with commas between"
        )
    table = read_tables(settings)[0].table
    own = table.filter(table[USER_ID].cast("string") == who).order_by([TIMESTAMP, ROW])
    found = engine.arrow(own.select(ITEM_ID))[ITEM_ID].to_pylist()
    if not found:
        raise UnknownIdError(
            f"{settings.data.interactions} has no clicks of a user {who!r}; a history of one item ends with a comma"
        )
    return [opened.items.parsed(one) if isinstance(one, str) else one for one in found]


def _show(opened: Bundle, answer: Recommendation, basis: str) -> None:
    told = answer.explanation
    if told is None:
        return
    show(Text(f"{_name(opened, answer.item_id)}: score {answer.score:.3f}, from the {basis}"))
    parts = {**told.views, "popularity": told.popularity, "repeat": told.repeat, "preferences": told.preferences}
    show(Text("Parts: " + ", ".join(f"{name} {share:+.3f}" for name, share in parts.items() if share)))
    if told.history:
        show("Items of the history that speak most for it:")
    for item_id, share in told.history:
        show(Text(f"  {share:+.3f}  {_name(opened, item_id)}"))
    if told.paths:
        show("Paths through the knowledge graph, with their share of attention:")
    for path in told.paths:
        show(Text(f"  {path_line(path, path_names(opened, path))}"))


def path_names(opened: Bundle, path: ExplainedPath) -> list[str]:
    """What a person reads of the entities of a path: items as the item table names them, others by their labels."""
    return [
        label if item_id is None else _name(opened, item_id, label)
        for label, item_id in zip(path.entities, path.item_ids, strict=True)
    ]


def _name(opened: Bundle, item_id: Any, label: str = "") -> str:
    """The first text of an item's row, and its id."""
    texts = (value for value in opened.retriever.item(item_id).columns.values() if isinstance(value, str) and value)
    name = next(texts, label if label != str(item_id) else "")
    return f"{name} ({item_id})" if name else str(item_id)


__all__ = ["explain", "path_line", "path_names"]
