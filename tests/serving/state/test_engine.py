"""Urls to engines: which are taken, what is durable, and that no message ever shows a password."""

import logging
import sqlite3
import sys
import threading
import traceback

import psycopg
import pytest
import sqlalchemy as sa

from prismrec.errors import ArtifactError, ConfigError, MissingExtraError
from prismrec.serving.state.engine import StateError, open_database

SECRET = "s3cret"


def pragma(database, name):
    with database.reading() as connection:
        return connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()


@pytest.fixture
def database(database_url):
    opened = open_database(database_url)
    yield opened
    opened.close()


@pytest.fixture
def numbers(database):
    """A table of numbers in each kind of database."""
    with database.writing() as connection:
        connection.execute(sa.text("CREATE TABLE numbers (n INTEGER)"))
    return database


def count(database):
    with database.reading() as connection:
        return connection.execute(sa.text("SELECT count(*) FROM numbers")).scalar_one()


def add(database, number: object = 1):
    with database.writing() as connection:
        connection.execute(sa.text("INSERT INTO numbers VALUES (:n)"), {"n": number})


# ---- urls ----


@pytest.mark.parametrize(
    "url",
    [
        "mysql://root:s3cret@host/db",
        "postgresql://u:s3cret@host:port/db",
        "postgresql://u:pass@s3cret@host/db",
        "postgresql+asyncpg://u:s3cret@host/db",
        "s3cret",
        "",
    ],
)
def test_other_urls_are_refused_without_repeating_them(url):
    with pytest.raises(ConfigError, match=r"expected sqlite:///folder/file\.db or postgresql://") as caught:
        open_database(url)
    assert SECRET not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:"])
def test_memory_is_refused(url):
    with pytest.raises(ConfigError, match=r"needs a file, such as sqlite:///state\.db: memory survives no restart"):
        open_database(url)


def test_folder_of_the_file_is_made(tmp_path):
    database = open_database(f"sqlite:///{tmp_path}/a/b/state.db")
    with database.writing():
        pass
    database.close()
    assert (tmp_path / "a" / "b" / "state.db").exists()


def test_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ArtifactError, match=r"cannot make the folder of the state database .*/file/state\.db"):
        open_database(f"sqlite:///{tmp_path}/file/state.db")


def test_file_that_is_no_database_is_named(tmp_path):
    (tmp_path / "state.db").write_text("no database at all, whatever its name says" * 100)
    database = open_database(f"sqlite:///{tmp_path}/state.db")
    with pytest.raises(StateError, match=r"cannot read the state database .*/state\.db: file is not a database"):
        pragma(database, "user_version")
    database.close()


def test_missing_driver_of_postgresql_is_told_from_the_url_alone(monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'prismrec\[postgres\]'"):
        open_database("postgresql://u:s3cret@nowhere.invalid/db")


# ---- passwords ----


def whole_text(error, caplog):
    return "".join(traceback.format_exception(error)) + caplog.text


@pytest.mark.parametrize("query", ["", "?sslmode=nonsense", "?application_name=s3cret&nonsense=s3cret"])
def test_password_is_in_no_error_and_no_log_where_nobody_listens(caplog, query):
    caplog.set_level(logging.DEBUG)
    database = open_database(f"postgresql://someone:{SECRET}@127.0.0.1:9/db{query}")
    with pytest.raises(StateError, match=r"cannot read the PostgreSQL state database 'db' on 127\.0\.0\.1:9") as caught:
        count(database)
    database.close()
    assert SECRET not in whole_text(caught.value, caplog)


def test_wrong_password_is_in_no_error_and_no_log(postgres_server, caplog):
    caplog.set_level(logging.DEBUG)
    database = open_database(postgres_server.url(password=SECRET))
    with pytest.raises(StateError, match="password authentication failed") as caught, database.writing():
        pass
    database.close()
    assert SECRET not in whole_text(caught.value, caplog)


def test_failing_statement_shows_neither_password_nor_parameters(postgres_server, postgres_url, caplog):
    caplog.set_level(logging.DEBUG)
    database = open_database(postgres_url)
    user = "".join(["the", "user's", "id"])
    with pytest.raises(StateError, match='relation "numbers" does not exist') as caught:
        add(database, user)
    database.close()
    told = whole_text(caught.value, caplog)
    assert user not in told
    assert "pass/word@with:signs" not in told
    assert "pass%2Fword" not in told


# ---- what is durable, who waits for whom ----


def test_sqlite_flushes_every_commit_and_overwrites_what_is_deleted(tmp_path):
    database = open_database(f"sqlite:///{tmp_path}/state.db")
    with database.writing():
        pass
    found = {name: pragma(database, name) for name in ("journal_mode", "synchronous", "secure_delete", "busy_timeout")}
    database.close()
    assert found == {"journal_mode": "wal", "synchronous": 2, "secure_delete": 1, "busy_timeout": 30_000}


@pytest.mark.parametrize(("set_to", "expected"), [("off", "on"), ("remote_apply", "remote_apply"), ("on", "on")])
def test_postgresql_waits_for_the_disk_whatever_its_default(postgres_url, set_to, expected):
    name = postgres_url.rpartition("/")[2]
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {name} SET synchronous_commit = {set_to}")
    database = open_database(postgres_url)
    with database.reading() as connection:
        assert connection.execute(sa.text("SHOW synchronous_commit")).scalar_one() == expected
    database.close()


def test_block_that_raises_writes_nothing(numbers):
    def add_and_fail():
        with numbers.writing() as connection:
            connection.execute(sa.text("INSERT INTO numbers VALUES (1)"))
            raise ValueError("half-way")

    with pytest.raises(ValueError, match="half-way"):
        add_and_fail()
    assert count(numbers) == 0


def test_reader_sees_the_last_commit_while_a_writer_is_at_work(numbers):
    with numbers.writing() as connection:
        connection.execute(sa.text("INSERT INTO numbers VALUES (1)"))
        assert count(numbers) == 0
    assert count(numbers) == 1


def test_writers_wait_for_each_other(numbers):
    with numbers.writing() as connection:
        connection.execute(sa.text("INSERT INTO numbers VALUES (1)"))
        other = threading.Thread(target=add, args=(numbers,))
        other.start()
        other.join(0.2)
    other.join(10)
    assert not other.is_alive()
    assert count(numbers) == 2


def test_writer_that_waits_too_long_is_told_so(tmp_path, monkeypatch):
    monkeypatch.setattr("prismrec.serving.state.engine._BUSY_SECONDS", 0.1)
    database = open_database(f"sqlite:///{tmp_path}/state.db")
    with database.writing(), pytest.raises(StateError, match=r"cannot write to .*: database is locked"):
        add(database)
    database.close()


def test_writing_transaction_takes_its_turn_when_it_begins(tmp_path, monkeypatch):
    """Begun late, two that read and then write would fail: SQLite cannot let either of them go on."""
    monkeypatch.setattr("prismrec.serving.state.engine._BUSY_SECONDS", 0.1)
    database = open_database(f"sqlite:///{tmp_path}/state.db")
    with database.writing():
        other = sqlite3.connect(tmp_path / "state.db", timeout=0, isolation_level=None)
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("BEGIN IMMEDIATE")
        other.close()
    database.close()


def test_server_that_was_restarted_costs_no_request(postgres_server, postgres_url):
    database = open_database(postgres_url)
    with database.writing() as connection:
        connection.execute(sa.text("CREATE TABLE numbers (n INTEGER)"))
    postgres_server.stop()
    with pytest.raises(StateError, match="cannot write to the PostgreSQL state database"):
        add(database)
    postgres_server.start()
    add(database)
    assert count(database) == 1
    database.close()


def test_log_is_emptied_unless_a_reader_needs_it(tmp_path):
    database = open_database(f"sqlite:///{tmp_path}/state.db")
    with database.writing() as connection:
        connection.execute(sa.text("CREATE TABLE numbers (n INTEGER)"))
    log = tmp_path / "state.db-wal"
    assert log.stat().st_size > 0
    database.empty_log()
    assert log.stat().st_size == 0
    database.close()
