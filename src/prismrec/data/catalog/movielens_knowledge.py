"""MovieLens-1M with all that its extra file says of the movies: directors, writers, actors, certificate, language.

`movies_extrainfos.dat` is needed (id::title::year::rate::release::genres::director::writer::actors::plot::poster).
Names are left as they are there, with annotations such as "(screenplay by)"; the settings say how they become entities.
Languages are known where the files of MKR's graph are at hand, and by number only, as these files have them.
"""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow as pa

from prismrec.data.catalog import mkr, movielens
from prismrec.data.catalog.dataset import Tables, find_file

FILES = mkr.MOVIE_FILES
_OUTSIDE_PARENTHESES = re.compile(r",\s*(?![^()]*\))")
_CERTIFICATE, _WRITERS = 3, 7
"""Places of the fields in a row of the extra file."""


def read(folder: Path) -> Tables:
    """The tables of `movielens.read`, and per movie writers, certificate and languages; null where nothing is known."""
    items, notes = movielens.read_movies(folder)
    path = find_file(folder, "movies_extrainfos.dat")
    rows = {int(row[0]): row for row in movielens.rows_of(path, "utf-8", n_fields=11)}
    movies = items["movie_id"].to_pylist()
    spoken = mkr.languages(folder)
    writers = [_writers(rows[movie][_WRITERS]) if movie in rows else None for movie in movies]
    certificates = [_known(rows[movie][_CERTIFICATE]) if movie in rows else None for movie in movies]
    items = items.append_column("writers", pa.array(writers, pa.list_(pa.string())))
    items = items.append_column("certificate", pa.array(certificates, pa.string()))
    notes = (*notes, "Certificates are as the file has them: PG and TV-PG, say, are two.")
    if spoken:
        items = items.append_column("languages", pa.array([spoken.get(m) for m in movies], pa.list_(pa.string())))
        notes = (*notes, f"Languages of {len(spoken):,} movies are numbers of MKR's graph: it does not name them.")
    return Tables(movielens.read_clicks(folder), items, movielens.read_users(folder), notes)


def _writers(text: str) -> list[str] | None:
    """Names with their annotations; a comma within parentheses parts nothing."""
    names = [name.strip() for name in _OUTSIDE_PARENTHESES.split(text)]
    return [name for name in dict.fromkeys(names) if _known(name)] or None


def _known(text: str) -> str | None:
    return text if text not in ("", "N/A", "nan") else None


__all__ = ["FILES", "read"]
