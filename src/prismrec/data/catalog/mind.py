"""MIND (Wu et al., ACL 2020): impressions of Microsoft News, with titles and the Wikidata entities in them.

    news.tsv        id, category, subcategory, title, abstract, url, entities of the title, entities of the abstract
    behaviors.tsv   impression, user, time, what the user had clicked before, what was shown with -1 clicked, -0 not

of one folder, or of several beside each other (`MINDsmall_train`, `MINDsmall_dev`). What was clicked before has no
times: it is put one second apart before the first impression of its user. `entity_embedding.vec` beside the files, 100
numbers of TransE for each entity, is what `models.dkn.vectors.entities` may name.
"""

from __future__ import annotations

from pathlib import Path

import duckdb
import pyarrow as pa

from prismrec.data.catalog.dataset import Tables, find_file
from prismrec.data.news.mentions import read_mind_mentions, write_mentions
from prismrec.errors import DataError

FILES = ("news.tsv", "behaviors.tsv")

_NEWS_COLUMNS = ("article_id", "category", "subcategory", "title", "abstract", "url", "entities", "more_entities")
_BEHAVIOR_COLUMNS = ("impression_id", "user_id", "time", "history", "shown")
_ROWS = """
with behaviors as (
    select *, strptime(time, '%m/%d/%Y %I:%M:%S %p') as moment, parse_path(filename)[-2] as part,
        row_number() over () as source_row
    from read_csv(?, delim = '\t', header = false, quote = '', escape = '', filename = true, columns = {columns})
),
shown as (
    select user_id, part, moment, impression_id, source_row, unnest(string_split(trim(shown), ' ')) as entry,
        generate_subscripts(string_split(trim(shown), ' '), 1) as place
    from behaviors
),
first as (
    select user_id, part, moment, source_row, string_split(trim(history), ' ') as articles
    from behaviors where trim(coalesce(history, '')) <> ''
    qualify row_number() over (partition by user_id order by moment, source_row) = 1
),
earlier as (
    select user_id, part, moment - to_seconds(len(articles) - place + 1) as moment, null as impression_id,
        source_row, article as entry, place
    from (select *, unnest(articles) as article, generate_subscripts(articles, 1) as place from first)
),
entries as (
    select *, regexp_extract(entry, '^(.+)-([01])$', ['article', 'label']) as found from shown
)
select user_id, found.article as article_id, cast(nullif(found.label, '') as bigint) as label, moment as time,
    impression_id, part, source_row, place, entry
from entries
union all
select user_id, entry, 1, moment, impression_id, part, source_row, place, entry from earlier
order by user_id, time, source_row, place
"""


def read(folder: Path) -> Tables:
    """Canonical tables: clicks (user_id, article_id, label, time, impression_id, part), articles with entities."""
    paths = [_all(folder, name) for name in FILES]
    clicks = _clicks(paths[1])
    news = _table("select distinct on (article_id) * from {} order by article_id", paths[0], _NEWS_COLUMNS)
    mentions = [read_mind_mentions(text) for text in news["entities"].to_pylist()]
    items = news.select(["article_id", "category", "subcategory", "title"])
    items = items.append_column("annotations", pa.array([write_mentions(row) for row in mentions]))
    ids = [list(dict.fromkeys(mention.entity for mention in row)) for row in mentions]
    items = items.append_column("entities", pa.array(ids, pa.list_(pa.string())))
    n_before = clicks["impression_id"].null_count
    notes = (
        f"{n_before:,} clicks made before a user's first impression have no times: they come one second apart before.",
        "Abstracts and their entities are left out.",
    )
    return Tables(clicks, items, notes=notes)


def _all(folder: Path, name: str) -> list[str]:
    """All files of a name, those of training before those of development."""
    find_file(folder, name)
    return sorted((str(path) for path in folder.rglob(name)), key=lambda path: ("dev" in path, path))


def _clicks(paths: list[str]) -> pa.Table:
    columns = "{" + ", ".join(f"'{name}': 'varchar'" for name in _BEHAVIOR_COLUMNS) + "}"
    try:
        found = duckdb.sql(_ROWS.replace("{columns}", columns), params=[paths]).to_arrow_table()
    except duckdb.Error as error:
        raise DataError(f"cannot read the impressions in {', '.join(paths)}: {error}") from error
    if found["label"].null_count:
        entry = found.filter(found["label"].is_null())["entry"][0].as_py()
        raise DataError(
            f"{', '.join(paths)}: expected what was shown as article-1 or article-0, got {entry!r}; impressions "
            "without labels, as those of MIND's test set, say nothing of clicks"
        )
    return found.drop_columns(["source_row", "place", "entry"])


def _table(query: str, paths: list[str], columns: tuple[str, ...]) -> pa.Table:
    names = "{" + ", ".join(f"'{name}': 'varchar'" for name in columns) + "}"
    source = f"read_csv(?, delim = '\t', header = false, quote = '', escape = '', columns = {names})"
    try:
        return duckdb.sql(query.format(source), params=[paths]).to_arrow_table()
    except duckdb.Error as error:
        raise DataError(f"cannot read the articles in {', '.join(paths)}: {error}") from error


__all__ = ["FILES", "read"]
