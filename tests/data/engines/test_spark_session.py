"""Starting Spark: what is missing is named before Java is asked, and nothing stays behind."""

import subprocess
import sys

import pytest

from prismrec.data import engine
from prismrec.data.engines import spark_session
from prismrec.data.engines.settings import DuckDBSettings, SparkSettings
from prismrec.data.engines.spark_session import connect, running
from prismrec.errors import ConfigError, MissingExtraError

CODE = """
import sys, pathlib
from prismrec.data import engine
from prismrec.data.engines.settings import DuckDBSettings, SparkSettings
assert "pyspark" not in sys.modules
place = pathlib.Path(sys.argv[1])
chosen = {
    "spark.hadoop.fs.defaultFS": "hdfs://nowhere.invalid:8020",  # as on a cluster of Hadoop
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",  # quicker to start
}
settings = SparkSettings(master="local[1]", memory="512m", work_folder=sys.argv[1], settings=chosen)
import pyarrow as pa
from prismrec.data.engines.spark_session import ended_after_use, running

def numbers(n):
    backend = engine.open_engine("spark", DuckDBSettings(), settings)
    table = engine.register(backend, pa.table({"n": range(n)}))
    print(engine.arrow(table)["n"].to_pylist(), len(list(place.iterdir())))

with ended_after_use():
    numbers(1)
    java = running().session.sparkContext._gateway.proc
print(java.poll() is None, len(list(place.iterdir())))
numbers(2)
with ended_after_use():
    pass
running()
"""


@pytest.fixture
def stopped(monkeypatch):
    """As if no session ran in this process."""
    monkeypatch.setattr(spark_session, "_running", None)


def test_one_session_serves_the_whole_process(spark, spark_settings):
    assert engine.open_engine("spark", DuckDBSettings(), spark_settings) is spark
    assert running().is_own
    with pytest.raises(ConfigError, match=r"this process runs Spark with other settings .*one session per process"):
        connect(spark_settings.model_copy(update={"memory": "2g"}))


def test_results_depend_on_no_setting_of_the_machine(spark):
    conf = running().session.conf
    assert conf.get("spark.sql.session.timeZone") == "UTC"
    assert conf.get("spark.sql.ansi.enabled") == conf.get("spark.sql.caseSensitive") == "true"


def test_a_session_of_its_own_ends_with_the_process_and_leaves_nothing(tmp_path):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-X", "dev", "-c", CODE, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == ["[0] 1", "False 0", "[0, 1] 1"]
    assert "ResourceWarning" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_cluster_needs_a_work_folder(stopped):
    with pytest.raises(ConfigError, match=r"spark.work_folder must be set for the master 'yarn'.*every executor"):
        connect(SparkSettings(master="yarn"))


def test_a_work_folder_that_cannot_be_written_is_named(stopped, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"cannot write to spark.work_folder .*file: Not a directory; name another"):
        connect(SparkSettings(work_folder=str(tmp_path / "file")))


def test_missing_pyspark_names_the_extra(stopped, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyspark.sql", None)
    with pytest.raises(MissingExtraError, match=r"needs pyspark .*pip install \"prismrec\[spark\]\""):
        connect(SparkSettings())


def test_missing_java_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(
        MissingExtraError, match=r"Spark needs Java 17 or 21, which is not at .*openjdk-17-jre-headless"
    ):
        spark_session._check_java()
    monkeypatch.delenv("JAVA_HOME")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingExtraError, match=r"which is not at hand: install it"):
        spark_session._check_java()


def test_an_old_java_is_refused(monkeypatch, tmp_path):
    program = tmp_path / "bin" / "java"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho 'openjdk version \"1.8.0_292\"' >&2\n")
    program.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(MissingExtraError, match=r"Spark needs Java 17 or 21, .* is Java 8: install it"):
        spark_session._check_java()


@pytest.mark.parametrize(("master", "cores"), [("local[3]", 3), ("local", 1), ("local[2,4]", 2)])
def test_cores_of_a_local_master(master, cores):
    assert spark_session._cores(master) == cores
