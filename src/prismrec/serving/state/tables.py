"""The tables of the state, and how a database gets them.

    prismrec_schema   one row: the version of these tables
    prismrec_events   one row per event, in order of arrival; ids as JSON text (`ids`)
    prismrec_changes  one row: the number of the latest change to the items
    prismrec_items    one row per item ever upserted or deleted; a deleted one has no document (a tombstone)

`MIGRATIONS` holds one step per version: a database of version v needs those from v on, and all of them run in one
transaction together with the new version number. A newer database is refused.
"""

from __future__ import annotations

from collections.abc import Callable

import sqlalchemy as sa

from prismrec.errors import ArtifactError

_ID = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")  # ASCII: bytes compare faster than a language
_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")  # only INTEGER is SQLite's own row number

METADATA = sa.MetaData()

SCHEMA = sa.Table("prismrec_schema", METADATA, sa.Column("version", sa.Integer, nullable=False))

EVENTS = sa.Table(
    "prismrec_events",
    METADATA,
    sa.Column("arrival", _NUMBER, primary_key=True, autoincrement=True),
    sa.Column("user_id", _ID, nullable=False),
    sa.Column("item_id", _ID, nullable=False),
    sa.Column("timestamp", sa.Double, nullable=False),  # seconds since 1970
    sa.Column("event_id", _ID),
)
sa.Index("prismrec_events_by_time", EVENTS.c.user_id, EVENTS.c.timestamp, EVENTS.c.arrival)
sa.Index(
    "prismrec_events_by_id",
    EVENTS.c.user_id,
    EVENTS.c.event_id,
    unique=True,
    sqlite_where=EVENTS.c.event_id.is_not(None),
    postgresql_where=EVENTS.c.event_id.is_not(None),
)

CHANGES = sa.Table("prismrec_changes", METADATA, sa.Column("number", sa.BigInteger, nullable=False))

ITEMS = sa.Table(
    "prismrec_items",
    METADATA,
    sa.Column("item_id", _ID, primary_key=True),
    sa.Column("number", sa.BigInteger, nullable=False, index=True),  # of its latest change
    sa.Column("changed", sa.Double, nullable=False),  # when that was, in seconds since 1970
    sa.Column("document", sa.Text),  # views and columns as JSON; NULL = deleted
)

_CREATION_LOCK = 0x505249534D  # any number that nobody else locks in that database


def migrate(connection: sa.Connection) -> None:
    """Bring the tables up to this version, inside the caller's writing transaction; safe in many processes at once.

    Raises:
        ArtifactError: the tables were written by a newer PrismRec.
    """
    if connection.dialect.name == "postgresql":  # IF NOT EXISTS races with itself there; SQLite has one writer anyway
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_CREATION_LOCK)))
    found = _version(connection)
    if found > len(MIGRATIONS):
        raise ArtifactError(
            f"the state database has schema version {found}, and this PrismRec knows up to {len(MIGRATIONS)}: it was "
            "written by a newer one; upgrade with `pip install -U prismrec`, or use another database"
        )
    for step in MIGRATIONS[found:]:
        step(connection)
    if found < len(MIGRATIONS):
        connection.execute(SCHEMA.update().values(version=len(MIGRATIONS)))


def _version(connection: sa.Connection) -> int:
    """The version of the tables that are there; 0 where there are none."""
    if not sa.inspect(connection).has_table(SCHEMA.name):
        return 0
    return int(connection.execute(sa.select(SCHEMA.c.version)).scalar_one())


def _create(connection: sa.Connection) -> None:
    METADATA.create_all(connection)
    connection.execute(SCHEMA.insert().values(version=1))
    connection.execute(CHANGES.insert().values(number=0))


MIGRATIONS: tuple[Callable[[sa.Connection], None], ...] = (_create,)


__all__ = ["CHANGES", "EVENTS", "ITEMS", "METADATA", "MIGRATIONS", "SCHEMA", "migrate"]
