"""The tables: created once by however many processes, migrated step by step, refused where they are newer."""

import subprocess
import sys

import pytest
import sqlalchemy as sa

from prismrec.errors import ArtifactError
from prismrec.serving.state import tables as state_tables
from prismrec.serving.state.engine import open_database
from prismrec.serving.state.store import Event, State
from prismrec.serving.state.tables import EVENTS, METADATA, MIGRATIONS, SCHEMA

OPEN_AND_APPEND = """
import sys
from prismrec.serving.state.store import Event, State
sys.stdin.read()
state = State.open(sys.argv[1])
for number in range(20):
    state.append([Event(int(sys.argv[2]), number, 5.0)])
"""


def in_database(url, work):
    database = open_database(url)
    try:
        with database.writing() as connection:
            return work(connection)
    finally:
        database.close()


def version(connection):
    return connection.execute(sa.select(SCHEMA.c.version)).scalars().all()


def test_new_database_has_every_table_and_one_version(database_url):
    State.open(database_url).close()
    State.open(database_url).close()
    assert in_database(database_url, version) == [len(MIGRATIONS)]
    assert in_database(database_url, lambda c: set(sa.inspect(c).get_table_names())) == set(METADATA.tables)


def test_newer_database_is_refused_and_left_alone(database_url):
    State.open(database_url).close()
    in_database(database_url, lambda c: c.execute(SCHEMA.update().values(version=99)))
    with pytest.raises(ArtifactError, match=r"schema version 99, and this PrismRec knows up to 1: .*upgrade with"):
        State.open(database_url)
    assert in_database(database_url, version) == [99]


def test_older_database_is_migrated_once_and_keeps_its_rows(database_url, monkeypatch):
    with_rows = State.open(database_url)
    with_rows.append([Event("u", 1, 5.0)])
    with_rows.close()
    steps = []

    def add_column(connection):
        steps.append("column")
        connection.execute(sa.text("ALTER TABLE prismrec_events ADD COLUMN kind TEXT"))

    monkeypatch.setattr(state_tables, "MIGRATIONS", (*MIGRATIONS, add_column))
    for _ in range(2):
        state = State.open(database_url)
        assert state.histories(["u"], 5) == {"u": [1]}
        state.close()
    assert steps == ["column"]
    assert in_database(database_url, version) == [2]


def test_migration_that_fails_changes_nothing(database_url, monkeypatch):
    State.open(database_url).close()

    def half_way(connection):
        connection.execute(sa.text("ALTER TABLE prismrec_events ADD COLUMN kind TEXT"))
        raise ArtifactError("half-way")

    monkeypatch.setattr(state_tables, "MIGRATIONS", (*MIGRATIONS, half_way))
    with pytest.raises(ArtifactError, match="half-way"):
        State.open(database_url)
    columns = in_database(database_url, lambda c: {column["name"] for column in sa.inspect(c).get_columns(EVENTS.name)})
    assert columns == set(EVENTS.c.keys())
    assert in_database(database_url, version) == [1]


@pytest.mark.slow
def test_many_processes_open_a_new_database_at_once_and_write(database_url):
    children = [
        subprocess.Popen(
            [sys.executable, "-c", OPEN_AND_APPEND, database_url, str(number)],
            stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for number in range(4)
    ]  # fmt: skip
    for child in children:
        child.stdin.close()
        child.stdin = None
    errors = [child.communicate(timeout=240)[1] for child in children]
    assert errors == [""] * 4
    state = State.open(database_url)
    assert state.histories(range(4), 100) == {number: list(range(20)) for number in range(4)}
    state.close()
