"""MovieLens-1M (GroupLens): a million ratings with genres, years and, where the extra file is there, directors.

Reads the official archive's `ratings.dat`, `movies.dat`, `users.dat`. Instead of `ratings.dat` a `ratings.parquet`
with a column `pos` (0-based place in the user's own time order) is taken: that order is then kept exactly, also where
several ratings share a second. `movies_extrainfos.dat` (id::title::year::rate::release::genres::director::writer::
actors::plot::poster), published with several knowledge-aware models, adds directors and actors.

Nothing of the side information comes from the ratings: genres, directors and actors are facts of a movie; age,
occupation and zip code are what a user said when signing up. The ratings that the extra file quotes are left out.
"""

from __future__ import annotations

import re
from pathlib import Path

import duckdb
import pyarrow as pa

from prismrec.data.catalog.dataset import Tables, find_file, find_optional
from prismrec.errors import DataError

FILES = ("ratings.dat", "ratings.parquet", "movies.dat", "users.dat", "movies_extrainfos.dat")
_YEAR = re.compile(r"^(?P<title>.*)\s\((?P<year>\d{4})\)$")
# occupation codes as the archive's README lists them
_OCCUPATIONS = (
    "other", "academic/educator", "artist", "clerical/admin", "college/grad student", "customer service",
    "doctor/health care", "executive/managerial", "farmer", "homemaker", "K-12 student", "lawyer", "programmer",
    "retired", "sales/marketing", "scientist", "self-employed", "technician/engineer", "tradesman/craftsman",
    "unemployed", "writer",
)  # fmt: skip


def read(folder: Path) -> Tables:
    """Canonical tables: clicks (user_id, movie_id, rating, timestamp), items with genres, year and directors, users."""
    movies, notes = read_movies(folder)
    return Tables(read_clicks(folder), movies, read_users(folder), notes=notes)


def read_movies(folder: Path) -> tuple[pa.Table, tuple[str, ...]]:
    """The items, and what is to be noted of them."""
    movies = _read_movies(find_file(folder, "movies.dat"))
    extra = find_optional(folder, "movies_extrainfos.dat")
    if extra is None:
        return movies, ("No movies_extrainfos.dat: the items have genres and year, but no directors and actors.",)
    return _with_people(movies, extra), ()


def read_clicks(folder: Path) -> pa.Table:
    """By user and in the user's own order; epoch seconds as they are."""
    path = find_file(folder, "ratings.parquet", "ratings.dat")
    if path.suffix == ".parquet":
        query = "select user_id, movie_id, rating, timestamp from read_parquet(?) order by user_id, pos"
    else:
        query = """
        select user_id, movie_id, rating, timestamp
        from (select *, row_number() over () as source_row from read_csv(?, delim = '::', header = false, quote = '',
              columns = {'user_id': 'bigint', 'movie_id': 'bigint', 'rating': 'bigint', 'timestamp': 'bigint'}))
        order by user_id, timestamp, source_row
        """
    try:
        return duckdb.sql(query, params=[str(path)]).to_arrow_table()
    except duckdb.Error as error:
        raise DataError(f"cannot read the ratings in {path}: {error}") from error


def _read_movies(path: Path) -> pa.Table:
    rows = rows_of(path, "latin-1", n_fields=3)
    parts = [_YEAR.match(title) for _, title, _ in rows]
    return pa.table(
        {
            "movie_id": pa.array([int(row[0]) for row in rows], pa.int64()),
            "name": [row[1] for row in rows],
            "year": pa.array([int(part["year"]) if part else None for part in parts], pa.int64()),
            "genres": pa.array([row[2].split("|") for row in rows], pa.list_(pa.string())),
        }
    )


def _with_people(movies: pa.Table, path: Path) -> pa.Table:
    """Directors and actors as lists; null where the file does not know them."""
    people = {int(row[0]): (_names(row[6]), _names(row[8])) for row in rows_of(path, "utf-8", n_fields=11)}
    found = [people.get(movie, (None, None)) for movie in movies["movie_id"].to_pylist()]
    kind = pa.list_(pa.string())
    directors, actors = (pa.array([pair[place] for pair in found], kind) for place in (0, 1))
    return movies.append_column("directors", directors).append_column("actors", actors)


def _names(text: str) -> list[str] | None:
    names = [name.strip() for name in text.split(",")]
    known = [name for name in dict.fromkeys(names) if name and name not in ("N/A", "nan")]
    return known or None


def read_users(folder: Path) -> pa.Table:
    """What users said of themselves."""
    rows = rows_of(find_file(folder, "users.dat"), "latin-1", n_fields=5)
    return pa.table(
        {
            "user_id": pa.array([int(row[0]) for row in rows], pa.int64()),
            "gender": [row[1] for row in rows],
            "age_from": pa.array([int(row[2]) for row in rows], pa.int64()),
            "occupation": [_OCCUPATIONS[int(row[3])] for row in rows],
            "zip_code": [row[4] for row in rows],
        }
    )


def rows_of(path: Path, encoding: str, n_fields: int) -> list[list[str]]:
    """The `::`-separated rows of a small file.

    Raises:
        DataError: a row has too few fields; names file and row.
    """
    rows = []
    for number, line in enumerate(path.read_text(encoding=encoding).split("\n"), start=1):
        fields = line.rstrip("\r").split("::")
        if line and len(fields) != n_fields:
            raise DataError(f"{path}, row {number}: expected {n_fields} fields separated by '::', got {len(fields)}")
        if line:
            rows.append(fields)
    return rows


__all__ = ["FILES", "read", "read_clicks", "read_movies", "read_users", "rows_of"]
