"""What makes one preparation this one: settings, files with size and time, older vocabularies."""

import os

import pytest

from prismrec.config import Section
from prismrec.data.sessions import SessionSettings
from prismrec.data.sharded.job import OpenTables, ShardJob, Tables, file_identity
from prismrec.data.vocabulary import Vocabulary
from prismrec.errors import DataError


class Reading(Section):
    name: str = ""
    unit: str = "auto"


@pytest.fixture
def log_file(tmp_path):
    path = tmp_path / "clicks.csv"
    path.write_text("user_id,item_id,timestamp\n")
    return path


def test_files_are_known_by_size_time_and_how_they_are_read(log_file):
    first = file_identity(str(log_file), Reading())
    assert file_identity(str(log_file), Reading(name="shop")) == first, "the name of a data set changes nothing"
    assert file_identity(str(log_file), Reading(unit="s")) != first
    known = log_file.stat()
    log_file.write_text("user_id,item_id,timestamq\n")
    os.utime(log_file, ns=(known.st_atime_ns, known.st_mtime_ns))
    assert file_identity(str(log_file), Reading()) == first, "size and time are all that is looked at"
    os.utime(log_file, ns=(known.st_atime_ns, known.st_mtime_ns + 1))
    assert file_identity(str(log_file), Reading()) != first


def test_another_file_in_a_folder_is_another_input(log_file):
    first = file_identity(str(log_file.parent), Reading())
    (log_file.parent / "more.csv").write_text("user_id\n")
    assert file_identity(str(log_file.parent), Reading()) != first


def test_databases_are_new_every_time(tmp_path):
    place = f"duckdb:///{tmp_path}/shop.db::clicks"
    assert file_identity(place, Reading()) != file_identity(place, Reading())


def test_absent_files_are_named(tmp_path):
    with pytest.raises(DataError, match=r"nothing to read at .*absent"):
        file_identity(str(tmp_path / "absent.csv"), Reading())


def test_a_job_says_all_that_its_outcome_depends_on(tmp_path):
    job = ShardJob(tmp_path / "p", 2)
    others = [
        ShardJob(tmp_path / "p", 3),
        ShardJob(tmp_path / "p", 2, "histories"),
        ShardJob(tmp_path / "p", 2, sessions=SessionSettings(session_gap_minutes=5)),
        ShardJob(tmp_path / "p", 2, base={"item": Vocabulary.from_ids(["a"])}),
    ]
    assert all(other.parts() != job.parts() for other in others)
    assert ShardJob(tmp_path / "elsewhere", 2, keep_stages=True).parts() == job.parts()
    assert job.stages_folder == tmp_path / "p.stages"


def test_tables_are_read_once_and_only_when_asked_for(log, side):
    opened = []

    def read():
        opened.append(1)
        return log(), side(item_id=["a", "b", "c", "d"])

    tables = OpenTables(Tables(read, "log", "items"), SessionSettings(unknown_items="quarantine"))
    assert opened == []
    assert tables.unknown == {"interactions": 1, "items": 1}
    assert tables.quarantined.keys() == {"interactions"}
    assert tables.items is not None
    assert opened == [1]


def test_a_log_alone_has_nothing_unknown(log):
    tables = OpenTables(Tables(lambda: (log(), None), "log"), SessionSettings())
    assert tables.unknown == {"interactions": 0, "items": 0}
    assert tables.quarantined == {}
