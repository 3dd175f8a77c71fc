"""From a database url to a SQLAlchemy engine on which a commit is durable; nothing here ever shows a password.

SQLite runs in WAL mode (readers never wait for a writer) with synchronous=FULL (a commit returns when the disk has
it), and a transaction that writes starts with BEGIN IMMEDIATE: it waits for its turn instead of failing half-way.
The file must lie on a local disk: WAL is shared memory, which network file systems do not have.

PostgreSQL runs through psycopg 3 and needs connections of its own (a pooler in session mode).
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from prismrec.errors import ArtifactError, ConfigError, MissingExtraError

_BUSY_SECONDS = 30
"""How long a writer waits for another one before it gives up."""

_WRITES = "prismrec_writes"


class StateError(ArtifactError):
    """The state's database cannot be opened, reached or written; nothing of the call is stored unless it says so."""


class Database:
    """An engine with one way to read and one way to write, and errors that name the database but never its password."""

    def __init__(self, engine: sa.Engine) -> None:
        """Use `open_database`."""
        self.name = _name(engine.url)
        self.dialect = engine.dialect.name
        self._engine = engine
        self._writer = engine.execution_options(**{_WRITES: True})
        self._password = str(engine.url.password or "")

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A transaction that reads.

        Raises:
            StateError: the database refuses; says why.
        """
        with self._named_errors("read"), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """A transaction that writes: what it did is on disk when the block ends, or undone.

        Raises:
            StateError: the database refuses; says why.
        """
        with self._named_errors("write to"), self._writer.begin() as connection:
            yield connection

    def empty_log(self) -> None:
        """Move what SQLite's log holds into the file and empty the log, unless a reader still needs it.

        Raises:
            StateError: the database refuses; says why.
        """
        if self.dialect != "sqlite":
            return
        with self._named_errors("empty the log of"), self._engine.connect() as connection:
            outside = connection.execution_options(isolation_level="AUTOCOMMIT")
            outside.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").all()

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    @contextmanager
    def _named_errors(self, doing: str) -> Iterator[None]:
        try:
            yield
        except sa.exc.SQLAlchemyError as error:
            reason = str(getattr(error, "orig", None) or error).strip()
            if self._password:
                reason = reason.replace(self._password, "***")
            raise StateError(f"cannot {doing} {self.name}: {reason}") from error


def open_database(url: str) -> Database:
    """An engine for `sqlite:///relative.db`, `sqlite:////absolute.db` or `postgresql://user:password@host/database`.

    Nothing is connected yet; a folder that the SQLite file needs is made.

    Raises:
        ConfigError: the url is none of these; the message does not repeat it, since it may hold a password.
        MissingExtraError: the driver of PostgreSQL is not installed.
        ArtifactError: the folder of the SQLite file cannot be made.
    """
    parsed = _parsed(url)
    return Database(_sqlite(parsed) if parsed.drivername == "sqlite" else _postgresql(parsed))


def _parsed(url: str) -> sa.URL:
    try:
        parsed = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError):  # their messages quote the url or a part of it
        parsed = sa.URL.create("unreadable")
    if parsed.drivername not in ("sqlite", "postgresql") or "@" in (parsed.host or ""):  # half of a password is no host
        raise ConfigError(
            "cannot read the url of the state database: expected sqlite:///folder/file.db or "
            "postgresql://user:password@host:5432/database (special characters of a password percent-encoded)"
        )
    return parsed


def _sqlite(url: sa.URL) -> sa.Engine:
    if url.database in (None, "", ":memory:"):
        raise ConfigError("the state database needs a file, such as sqlite:///state.db: memory survives no restart")
    folder = Path(str(url.database)).parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ArtifactError(f"cannot make the folder of the state database {url.database}: {error}") from error
    engine = sa.create_engine(url, hide_parameters=True, connect_args={"timeout": _BUSY_SECONDS})
    sa.event.listen(engine, "connect", _set_up_sqlite)
    sa.event.listen(engine, "begin", _begin_sqlite)
    return engine


def _set_up_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # `_begin_sqlite` begins transactions; sqlite3 itself would begin them late
    _switch_to_wal(connection)
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA secure_delete=ON")  # what is forgotten is overwritten, not only unlinked


def _switch_to_wal(connection: sqlite3.Connection) -> None:
    """The one statement that does not wait for others by itself: several processes may open a new file at once."""
    deadline = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def _begin_sqlite(connection: sa.Connection) -> None:
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _postgresql(url: sa.URL) -> sa.Engine:
    try:
        engine = sa.create_engine(
            url.set(drivername="postgresql+psycopg"),
            hide_parameters=True,
            pool_pre_ping=True,  # a server that was restarted costs one look, not a failed request
            connect_args={} if "connect_timeout" in url.query else {"connect_timeout": 10},
        )
    except ImportError as error:
        raise MissingExtraError(
            "a state database in PostgreSQL needs psycopg: install it with pip install 'prismrec[postgres]'"
        ) from error
    sa.event.listen(engine, "connect", _set_up_postgresql)
    return engine


def _set_up_postgresql(connection: Any, _record: Any) -> None:
    """A server may be set to answer before a commit is on disk; stricter settings than "on" stay."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
        )
    connection.commit()


def _name(url: sa.URL) -> str:
    """What messages call the database: neither its user nor its password nor its options."""
    if url.drivername == "sqlite":
        return f"the state database {url.database}"
    place = f"{url.host or 'this machine'}:{url.port}" if url.port else url.host or "this machine"
    return f"the PostgreSQL state database {url.database!r} on {place}"


__all__ = ["Database", "StateError", "open_database"]
