"""What was acknowledged is there after `kill -9`, exactly once: real processes, both databases, a server's crash."""

import collections
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa

from prismrec.serving.state.engine import open_database
from prismrec.serving.state.ids import id_of
from prismrec.serving.state.store import Event, State, StateError
from prismrec.serving.state.tables import EVENTS

APPENDER = Path(__file__).with_name("appender.py")
ROUNDS = 25


def stored_batches(url):
    """How many events of each batch are stored; NAME -> number of rows."""
    database = open_database(url)
    with database.reading() as connection:
        names = [str(id_of(text)) for text in connection.execute(sa.select(EVENTS.c.event_id)).scalars()]
    database.close()
    assert len(names) == len(set(names)), "an event is stored twice"
    return collections.Counter(name.partition("/")[0] for name in names)


@pytest.mark.slow
def test_every_acknowledged_event_survives_kill_9_exactly_once(database_url):
    command = [sys.executable, str(APPENDER), database_url, str(ROUNDS), "7"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    acknowledged = done.stdout.split()
    stored = stored_batches(database_url)
    assert len({name.partition("-")[0] for name in acknowledged}) > ROUNDS / 2, "most children were killed too early"
    assert [name for name in acknowledged if name not in stored] == []
    assert set(stored.values()) == {3}, "half of a batch is stored"
    in_flight = set(stored) - set(acknowledged)
    assert len(in_flight) <= 4 * ROUNDS, "at most one batch per thread was stored and not yet acknowledged"


@pytest.mark.slow
def test_every_acknowledged_event_survives_a_crash_of_the_server(postgres_server, postgres_url):
    state = State.open(postgres_url, kept_events=1_000_000)
    acknowledged, enough = [], threading.Event()

    def append_until_the_crash():
        for number in range(100_000):
            try:
                state.append([Event("u", number, float(number), f"{number}/{i}") for i in range(3)])
            except StateError:
                return
            acknowledged.append(str(number))
            if number == 50:
                enough.set()

    thread = threading.Thread(target=append_until_the_crash)
    thread.start()
    assert enough.wait(30)
    postgres_server.stop(signal.SIGQUIT)
    thread.join(30)
    assert not thread.is_alive()
    postgres_server.start()
    state.close()
    stored = stored_batches(postgres_url)
    assert set(acknowledged) <= set(stored)
    assert len(stored) - len(acknowledged) <= 1
    assert set(stored.values()) == {3}
