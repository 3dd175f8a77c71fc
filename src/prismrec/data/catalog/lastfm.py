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
from prismrec.data.catalog.text_rows import integers_of, rows_of

FILES = ("artists.dat", "tags.dat", "user_artists.dat", "user_friends.dat", "user_taggedartists.dat")
N_TAGS = 20
"""An artist keeps the tags that most users gave it, at most this many."""
N_USERS_OF_TAG = 2
"""By fewer users than this, a tag of an artist may say who listens to it, and is left out."""


def read(folder: Path) -> Tables:
    """Canonical tables: clicks (user_id, artist_id, plays, source_order), items with tags, links of friends."""
    clicks = read_plays(find_file(folder, "user_artists.dat"))
    assignments = integers_of(find_file(folder, "user_taggedartists.dat"), 6, skip=1)
    friends = integers_of(find_file(folder, "user_friends.dat"), 2, skip=1)
    notes = (
        f"Read {len(assignments):,} tag assignments and {len(friends):,} friend rows.",
        f"An artist keeps its {N_TAGS} most given tags, of those that at least {N_USERS_OF_TAG} users gave it: the tag "
        "of a single user would say what that user listens to. Who tagged what, and when, is left out.",
        "The plays carry no time: source_order is the order of the rows, not a history.",
    )
    return Tables(clicks, _items(folder, assignments), user_links=_links(friends), notes=notes)


def read_plays(path: Path) -> pa.Table:
    """user_id, artist_id, plays, and source_order, the place of the row."""
    plays = integers_of(path, 3, skip=1)
    return pa.table(
        {
            "user_id": pa.array([row[0] for row in plays], pa.int64()),
            "artist_id": pa.array([row[1] for row in plays], pa.int64()),
            "plays": pa.array([row[2] for row in plays], pa.int64()),
            "source_order": pa.array(range(1, len(plays) + 1), pa.int64()),
        }
    )


def _items(folder: Path, assignments: list[list[int]]) -> pa.Table:
    """Artists with their most given tags, ties by name."""
    tag_names = {int(row[0]): row[1] for row in rows_of(find_file(folder, "tags.dat"), 2, skip=1)}
    counts: dict[int, Counter[str]] = defaultdict(Counter)
    for _, artist, tag, *_ in assignments:
        counts[artist][tag_names[tag]] += 1
    artists = rows_of(find_file(folder, "artists.dat"), 4, skip=1)
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


__all__ = ["FILES", "N_TAGS", "N_USERS_OF_TAG", "read", "read_plays"]
