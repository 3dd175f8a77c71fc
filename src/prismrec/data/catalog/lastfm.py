"""Last.FM HetRec 2011 (2K): how often users played artists, tags of artists, friends.

The plays carry no time. The order in which the rows stand in the source (by falling number of plays) is kept as
`source_order`, so that a run is reproducible, but it is no history: evaluate with `ratio` or `kfold`, not with
`next_item`. Text in the source is a mixture of UTF-8 and Latin-1, and its quotation marks are part of names.

What users tag are artists that they listen to, so tags can give away plays that are held out. Who tagged which artist
is therefore never written, and an artist's tag counts only where at least two users gave it: 79 % of the pairs of
artist and tag are of a single user. `benchmarks/bench_tag_leak.py` measures what is left of the leak. Friends are no
plays; but they are as they were when the data were taken, which may be after any of the plays.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path

import pyarrow as pa

from prismrec.data.catalog.dataset import Tables, find_file
from prismrec.errors import DataError

FILES = ("artists.dat", "tags.dat", "user_artists.dat", "user_friends.dat", "user_taggedartists.dat")
N_TAGS = 20
"""An artist keeps the tags that most users gave it, at most this many."""
N_USERS_OF_TAG = 2
"""By fewer users than this, a tag of an artist may say who listens to it, and is left out."""


def read(folder: Path) -> Tables:
    """Canonical tables: clicks (user_id, artist_id, plays, source_order), items with tags, links of friends."""
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
        f"An artist keeps its {N_TAGS} most given tags, of those that at least {N_USERS_OF_TAG} users gave it: the tag "
        "of a single user would say what that user listens to. Who tagged what, and when, is left out.",
        "The plays carry no time: source_order is the order of the rows, not a history.",
    )
    return Tables(clicks, _items(folder, assignments), user_links=_links(friends), notes=notes)


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
            "tags": pa.array([_most_given(counts[i]) for i in ids], pa.list_(pa.string())),
        }
    )


def _most_given(counts: Counter[str]) -> list[str] | None:
    shared = [tag for tag, n_users in counts.items() if n_users >= N_USERS_OF_TAG]
    return sorted(shared, key=lambda tag: (-counts[tag], tag))[:N_TAGS] or None


def _links(friends: list[list[int]]) -> pa.Table:
    """Every row of the source: most pairs come both ways round."""
    columns = {"user_id": 0, "friend_id": 1}
    return pa.table({name: pa.array([row[i] for row in friends], pa.int64()) for name, i in columns.items()})


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


__all__ = ["FILES", "N_TAGS", "N_USERS_OF_TAG", "read"]
