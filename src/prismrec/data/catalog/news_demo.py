"""The public part of DKN's news clicks: titles that users were shown, whether they clicked, who is in the titles.

Four fields between tabs: user, title, label, entities as `id:name;id:name`. A title is an article. There are no times:
`position` is a row's place among the rows of its user, those of the test file last. The graph that belongs to the
entities was never published; what the titles themselves say of it is `data.news.cooccurrence`.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pyarrow as pa

from prismrec.data.catalog.dataset import Tables, find_file
from prismrec.data.catalog.text_rows import rows_of
from prismrec.data.news.mentions import Mention, read_mentions, write_mentions
from prismrec.errors import DataError

FILES = ("raw_train.txt", "raw_test.txt")
_PARTS = ("train", "test")


def read(folder: Path) -> Tables:
    """Canonical tables: clicks (user_id, article_id, label, position, part), articles with title and entities."""
    rows: list[list[str]] = []
    parts: list[str] = []
    for name, part in zip(FILES, _PARTS, strict=True):
        path = find_file(folder, name)
        found = rows_of(path, 4)
        _check_labels(path, found)
        rows += found
        parts += [part] * len(found)
    mentions: dict[str, dict[str, Mention]] = {}
    for _, title, _, entities in rows:
        known = mentions.setdefault(title, {})
        for mention in read_mentions(entities):
            known.setdefault(mention.entity, mention)
    articles = {title: f"a{number}" for number, title in enumerate(mentions)}
    return Tables(_clicks(rows, parts, articles), article_table(articles, mentions), notes=_notes(rows))


def article_table(articles: dict[str, str], mentions: dict[str, dict[str, Mention]]) -> pa.Table:
    """One row per title: its id, annotations as the source has them, and the ids of its entities."""
    return pa.table(
        {
            "article_id": list(articles.values()),
            "title": list(articles),
            "annotations": [write_mentions(list(mentions[title].values())) for title in articles],
            "entities": pa.array([list(mentions[title]) for title in articles], pa.list_(pa.string())),
        }
    )


def _clicks(rows: list[list[str]], parts: list[str], articles: dict[str, str]) -> pa.Table:
    """By user, and in the order of the files."""
    places: Counter[str] = Counter()
    positions = []
    for user, *_ in rows:
        positions.append(places[user])
        places[user] += 1
    table = pa.table(
        {
            "user_id": pa.array([int(row[0]) for row in rows], pa.int64()),
            "article_id": [articles[row[1]] for row in rows],
            "label": pa.array([int(row[2]) for row in rows], pa.int64()),
            "position": pa.array(positions, pa.int64()),
            "part": parts,
        }
    )
    return table.sort_by([("user_id", "ascending"), ("position", "ascending")])


def _check_labels(path: Path, rows: list[list[str]]) -> None:
    for number, (user, _, label, _) in enumerate(rows, start=1):
        if label not in ("0", "1") or not user.isdigit():
            raise DataError(f"{path}, row {number}: expected a user number and a label 0 or 1, got {user!r}, {label!r}")


def _notes(rows: list[list[str]]) -> tuple[str, ...]:
    seen: dict[tuple[str, str], set[str]] = {}
    for user, title, label, _ in rows:
        seen.setdefault((user, title), set()).add(label)
    both = sum(len(labels) > 1 for labels in seen.values())
    return (
        "There is no clock: position is the place of a row among those of its user, the test file last.",
        f"{len(rows) - len(seen):,} rows repeat a user and a title; {both:,} of these pairs have both labels: clicked.",
        "The graph of the entities was never published; models make one of the entities that a title names together.",
    )


__all__ = ["FILES", "article_table", "read"]
