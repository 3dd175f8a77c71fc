"""Last.FM HetRec 2011 (2K): how often users played artists, tags of artists, friends.

The plays carry no time. The order in which the rows stand in the source (by falling number of plays) is kept as
`source_order`, so that a run is reproducible, but it is no history: evaluate with `ratio` or `kfold`, not with
`next_item`. Text in the source is a mixture of UTF-8 and Latin-1, and its quotation marks are part of names.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path

import pyarrow as pa

from prismrec.data.catalog.dataset import Tables, find_file
from prismrec.errors import DataError

FILES = ("artists.dat", "tags.dat", "user_artists.dat", "user_friends.dat", "user_taggedartists.dat")
N_TAGS = 5
"""An artist keeps the tags that most users gave it, at most this many."""


def read(folder: Path) -> Tables:
    """Canonical tables: clicks (user_id, artist_id, plays, source_order), items with tags, users with friends."""
    plays = _integers(find_file(folder, "user_artists.dat"), 3)
    clicks = pa.table(
        {
            "user_id": pa.array([row[0] for row in plays], pa.int64()),
            "artist_id": pa.array([row[1] for row in plays], pa.int64()),
            "plays": pa.array([row[2] for row in plays], pa.int64()),
            "source_order": pa.array(range(1, len(plays) + 1), pa.int64()),
        }
    )
    assignments = _integers(find_file(folder, "user_taggedartists.dat"), 6)
    friends = _integers(find_file(folder, "user_friends.dat"), 2)
    notes = (
        f"Read {len(assignments):,} tag assignments and {len(friends):,} friend rows.",
        f"Tag dates are left out; an artist keeps its {N_TAGS} most given tags.",
        "The plays carry no time: source_order is the order of the rows, not a history.",
    )
    return Tables(clicks, _items(folder, assignments), _users(clicks, friends), notes)


def _items(folder: Path, assignments: list[list[int]]) -> pa.Table:
    """Artists with their most given tags, ties by name."""
    tag_names = {int(row[0]): row[1] for row in _rows(find_file(folder, "tags.dat"), 2)}
    counts: dict[int, Counter[str]] = defaultdict(Counter)
    for _, artist, tag, *_ in assignments:
        counts[artist][tag_names[tag]] += 1
    artists = _rows(find_file(folder, "artists.dat"), 4)
    ids = [int(row[0]) for row in artists]
    return pa.table(
        {
            "artist_id": pa.array(ids, pa.int64()),
            "name": [row[1] for row in artists],
            "tags": pa.array([_most_given(counts[i]) if i in counts else None for i in ids], pa.list_(pa.string())),
        }
    )


def _most_given(counts: Counter[str]) -> list[str]:
    return sorted(counts, key=lambda tag: (-counts[tag], tag))[:N_TAGS]


def _users(clicks: pa.Table, friends: list[list[int]]) -> pa.Table:
    known = sorted(set(clicks["user_id"].to_pylist()))
    lists: dict[int, list[int]] = defaultdict(list)
    for user, friend in friends:
        lists[user].append(friend)
    return pa.table(
        {
            "user_id": pa.array(known, pa.int64()),
            "friends": pa.array([lists.get(user, []) for user in known], pa.list_(pa.int64())),
        }
    )


def _integers(path: Path, n_fields: int) -> list[list[int]]:
    try:
        return [[int(field) for field in row] for row in _rows(path, n_fields)]
    except ValueError as error:
        raise DataError(f"{path}: expected whole numbers separated by tabs: {error}") from error


def _rows(path: Path, n_fields: int) -> list[list[str]]:
    """The rows below the header, each line decoded on its own: UTF-8, and where it is not that, Latin-1.

    Raises:
        DataError: a row has too few or too many fields; names file and row.
    """
    rows = []
    for number, line in enumerate(path.read_bytes().splitlines()[1:], start=2):
        fields = _text(line).split("\t")
        if len(fields) != n_fields:
            raise DataError(f"{path}, row {number}: expected {n_fields} fields separated by tabs, got {len(fields)}")
        rows.append(fields)
    return rows


def _text(line: bytes) -> str:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        return line.decode("latin-1")


__all__ = ["FILES", "N_TAGS", "read"]
