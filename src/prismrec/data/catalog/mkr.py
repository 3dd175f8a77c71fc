"""The data of MKR (WWW 2019): movies and artists that are linked to a knowledge graph.

Movies: the ratings of MovieLens-1M on linked movies; MKR takes those of 4 stars and more for clicks, 376,887 of them
(its own reader takes the first line of the ratings for a header and has 376,886). Its graph leaves out the triples
whose head is no movie. Artists: all plays of Last.FM (HetRec 2011) of linked artists, 21,173 pairs, and all triples.

The entities are numbers, as in the source: nobody can tell from these files what they are called.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from prismrec.data.catalog import lastfm, movielens
from prismrec.data.catalog.dataset import Tables, find_file, find_optional
from prismrec.data.catalog.text_rows import rows_of

LINKS, GRAPH = "item_index2entity_id.txt", "kg.txt"
MOVIE_FILES = (*movielens.FILES, LINKS, GRAPH)
MUSIC_FILES = ("user_artists.dat", "artists.dat", LINKS, GRAPH)


def read_movies(folder: Path) -> Tables:
    """Ratings on linked movies, the movies, and the triples whose head is a movie."""
    links, triples = _graph(folder, "mkr-movie", "movie")
    entities = links["entity"]
    kept = triples.filter(pc.is_in(triples["head"], entities.combine_chunks()))
    ratings = movielens.read_clicks(folder)
    items = _linked(movielens.read_movies(folder)[0], "movie_id", links)
    clicks = _linked(ratings, "movie_id", links)
    notes = (
        f"{ratings.num_rows - clicks.num_rows:,} ratings of movies that the graph lacks are left out.",
        f"{triples.num_rows - kept.num_rows:,} triples whose head is no movie are left out, as MKR leaves them out.",
    )
    return Tables(clicks, items, movielens.read_users(folder), notes, knowledge={"triples": kept, "item_links": links})


def read_music(folder: Path) -> Tables:
    """Plays of linked artists in the order of the source, the artists, and all triples."""
    links, triples = _graph(folder, "mkr-music", "music")
    plays = lastfm.read_plays(_preferred(folder, "user_artists.dat", "mkr-music", "music"))
    clicks = _linked(plays, "artist_id", links)
    artists = pa.table({"artist_id": pc.unique(clicks["artist_id"])}).sort_by("artist_id")
    names = find_optional(folder, "lastfm-hetrec/artists.dat", "artists.dat")
    notes: tuple[str, ...] = (
        f"{plays.num_rows - clicks.num_rows:,} plays of artists that the graph lacks are left out.",
    )
    if names is None:
        notes = (*notes, "No artists.dat: the artists have no names.")
    else:
        artists = artists.append_column("name", _names(names, artists["artist_id"]))
    return Tables(clicks, artists, notes=notes, knowledge={"triples": triples, "item_links": links})


def languages(folder: Path) -> dict[int, list[str]]:
    """Movie id -> its languages, by the numbers that MKR's graph gives them; empty where its files are not there."""
    if find_optional(folder, f"mkr-movie/{GRAPH}", f"movie/{GRAPH}", GRAPH) is None:
        return {}
    links, triples = _graph(folder, "mkr-movie", "movie")
    spoken = triples.filter(pc.equal(triples["relation"], "film.film.language"))
    movie_of = dict(zip(links["entity"].to_pylist(), links["item"].to_pylist(), strict=True))
    found: dict[int, list[str]] = {}
    for head, tail in zip(spoken["head"].to_pylist(), spoken["tail"].to_pylist(), strict=True):
        if head in movie_of:
            found.setdefault(int(movie_of[head]), []).append(f"language {tail}")
    return found


def _graph(folder: Path, *homes: str) -> tuple[pa.Table, pa.Table]:
    """Links (item, entity) and triples (head, relation, tail), all of them text."""
    links = rows_of(_preferred(folder, LINKS, *homes), 2)
    triples = rows_of(_preferred(folder, GRAPH, *homes), 3)
    return _table(links, ("item", "entity")), _table(triples, ("head", "relation", "tail"))


def _preferred(folder: Path, name: str, *homes: str) -> Path:
    """A file in one of the folders that are named after the data, else the first of this name."""
    return find_file(folder, *(f"{home}/{name}" for home in homes), name)


def _table(rows: list[list[str]], names: tuple[str, ...]) -> pa.Table:
    return pa.table({name: pa.array([row[i] for row in rows], pa.string()) for i, name in enumerate(names)})


def _linked(table: pa.Table, column: str, links: pa.Table) -> pa.Table:
    return table.filter(pc.is_in(table[column], links["item"].cast(pa.int64()).combine_chunks()))


def _names(path: Path, artists: pa.ChunkedArray) -> pa.Array:
    names = {int(row[0]): row[1] for row in rows_of(path, 4, skip=1)}
    return pa.array([names.get(artist) for artist in artists.to_pylist()], pa.string())


__all__ = ["MOVIE_FILES", "MUSIC_FILES", "languages", "read_movies", "read_music"]
