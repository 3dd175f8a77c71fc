"""The one Spark session of this process: started on demand, quiet, with a work folder that goes when it ends.

A session that runs already (a notebook, spark-submit) is joined instead: its master and memory stand, and it is not
stopped. Spark is imported here and nowhere at the top of a module: who prepares with DuckDB needs neither it nor Java.
"""

from __future__ import annotations

import atexit
import logging
import os
import re
import shutil
import subprocess
import tempfile
import uuid
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prismrec.data.engines.settings import SparkSettings
from prismrec.data.engines.shared_disk import require_shared
from prismrec.data.engines.spark_errors import named_errors
from prismrec.errors import ConfigError, MissingExtraError

_OLDEST_JAVA = 17
_JAVA_OPTIONS = "spark.driver.extraJavaOptions"

_RUNTIME = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "true",  # what overflows is an error, as in DuckDB
    "spark.sql.caseSensitive": "true",
    "spark.sql.jsonGenerator.ignoreNullFields": "false",
    "spark.sql.execution.arrow.pyspark.enabled": "true",
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    "spark.sql.parquet.compression.codec": "zstd",
}
"""Settings of the session that results depend on."""

_LOGGING = """rootLogger.level = error
rootLogger.appenderRef.stderr.ref = stderr
appender.stderr.type = Console
appender.stderr.name = stderr
appender.stderr.target = SYSTEM_ERR
appender.stderr.layout.type = PatternLayout
appender.stderr.layout.pattern = %d{HH:mm:ss} spark %p %c{1}: %m%n
"""


@dataclass(frozen=True)
class RunningSpark:
    """A session and what belongs to it.

    Attributes:
        settings: what it was asked for with.
        backend: Ibis's connection to it.
        session: the SparkSession.
        work_folder: where stored tables lie.
        is_own: whether it was started here, and is stopped here.
    """

    settings: SparkSettings
    backend: Any
    session: Any
    work_folder: Path
    is_own: bool


_running: RunningSpark | None = None


def connect(settings: SparkSettings) -> Any:
    """Ibis's connection to Spark; the first call starts the session, later ones share it.

    Raises:
        ConfigError: the session of this process was started with other settings, the work folder is missing or cannot
            be written or is not shared by all executors, or Spark does not start.
        MissingExtraError: pyspark or Java is missing.
    """
    global _running
    if _running is None:
        _running = _start(settings)
        atexit.register(stop)
    elif _running.settings != settings:
        raise ConfigError(
            f"this process runs Spark with other settings ({_running.settings!r}): Spark has one session per process, "
            "start another process for another one"
        )
    return _running.backend


def running() -> RunningSpark:
    """The session of this process.

    Raises:
        ConfigError: there is none.
    """
    if _running is None:
        raise ConfigError("Spark was stopped, or never started, in this process: connect first")
    return _running


def stop() -> None:
    """Stop Spark if it was started here, with the process of Java behind it, and remove the work folder."""
    global _running
    if _running is None:
        return
    ended, _running = _running, None
    atexit.unregister(stop)
    if ended.is_own:
        ended.session.stop()
        _end_java()
    shutil.rmtree(ended.work_folder, ignore_errors=True)


@contextmanager
def ended_after_use() -> Iterator[None]:
    """End a Spark that was started within the block: its process of Java keeps its memory for as long as it runs."""
    ran_before = _running is not None
    try:
        yield
    finally:
        if not ran_before:
            stop()


@contextmanager
def without_version_warnings() -> Iterator[None]:
    """pyspark warns of every pandas from 3 on; nothing here goes through pandas."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "PySpark does not yet fully support pandas", FutureWarning)
        yield


def _start(settings: SparkSettings) -> RunningSpark:
    with without_version_warnings():
        try:
            import ibis.backends.pyspark  # needs pandas too
            from pyspark.sql import SparkSession
        except ImportError as error:
            raise MissingExtraError(
                f'engine = "spark" needs pyspark ({error}): pip install "prismrec[spark]"'
            ) from error
        import ibis

        logging.getLogger("SQLQueryContextLogger").disabled = True  # prints the stack of every error that is raised
        folder = _new_work_folder(settings)
        try:
            session, is_own = _session(SparkSession, settings, folder)
            for key, value in _RUNTIME.items():
                session.conf.set(key, value)
            require_shared(session, folder)
            backend = ibis.pyspark.connect(session)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
    return RunningSpark(settings, backend, session, folder, is_own)


def _session(factory: Any, settings: SparkSettings, folder: Path) -> tuple[Any, bool]:
    """A session beside the one that runs already, or the first one."""
    existing = factory.getActiveSession()
    if existing is not None:
        return existing.newSession(), False
    _check_java()
    builder = factory.builder.master(settings.master).appName("prismrec")
    for key, value in {**_RUNTIME, **_startup(settings, folder)}.items():
        builder = builder.config(key, value)
    try:
        with named_errors():
            return builder.getOrCreate(), True
    except ValueError as error:  # DataError
        raise ConfigError(f"Spark does not start with master {settings.master!r}: {error}") from error


def _startup(settings: SparkSettings, folder: Path) -> Mapping[str, str]:
    """Settings that hold from the start of Java on; those that a user gave stand."""
    quiet = folder / "log4j2.properties"
    quiet.write_text(_LOGGING)
    options = settings.settings.get(_JAVA_OPTIONS, "")
    chosen = {
        "spark.driver.memory": settings.memory,
        "spark.executor.memory": settings.memory,
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.catalogImplementation": "in-memory",
        "spark.sql.warehouse.dir": (folder / "warehouse").as_uri(),
    }
    if settings.is_local:
        chosen |= {
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.driver.host": "127.0.0.1",
            "spark.local.dir": str(folder / "spill"),
            "spark.sql.shuffle.partitions": str(4 * _cores(settings.master)),
        }
    return {**chosen, **settings.settings, _JAVA_OPTIONS: f"-Dlog4j2.configurationFile={quiet.as_uri()} {options}"}


def _cores(master: str) -> int:
    given = re.match(r"local\[(\d+)", master)
    return int(given[1]) if given else (os.cpu_count() or 1) if master.startswith("local[*") else 1


def _new_work_folder(settings: SparkSettings) -> Path:
    if not settings.work_folder:
        if not settings.is_local:
            raise ConfigError(
                f"spark.work_folder must be set for the master {settings.master!r}: name a folder on a disk that every "
                "executor sees under the same path"
            )
        return Path(tempfile.mkdtemp(prefix="prismrec-spark-"))
    folder = Path(settings.work_folder).absolute() / f"prismrec-spark-{uuid.uuid4().hex[:12]}"
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise ConfigError(
            f"cannot write to spark.work_folder {settings.work_folder}: {error.strerror}; name another folder"
        ) from error
    return folder


def _check_java() -> None:
    home = os.environ.get("JAVA_HOME")
    program = str(Path(home) / "bin" / "java") if home else shutil.which("java")
    advice = (
        "install it (Debian, Ubuntu: apt install openjdk-17-jre-headless; macOS: brew install openjdk@17), "
        "or set JAVA_HOME to where it is"
    )
    if program is None or not Path(program).exists():
        raise MissingExtraError(f"Spark needs Java {_OLDEST_JAVA} or 21, which is not at {program or 'hand'}: {advice}")
    said = subprocess.run([program, "-version"], capture_output=True, text=True, check=False)
    found = re.search(r'version "(?:1\.)?(\d+)', said.stderr)
    if found and int(found[1]) < _OLDEST_JAVA:
        raise MissingExtraError(f"Spark needs Java {_OLDEST_JAVA} or 21, {program} is Java {found[1]}: {advice}")


def _end_java() -> None:
    """End the process of Java that pyspark started; left alone, it would wait for the end of this one."""
    from pyspark import SparkContext

    gateway, SparkContext._gateway, SparkContext._jvm = SparkContext._gateway, None, None
    if gateway is None:
        return
    gateway.shutdown()
    process = getattr(gateway, "proc", None)  # none where another program started Java
    if process is not None:
        process.stdin.close()
        process.wait()


__all__ = ["RunningSpark", "connect", "ended_after_use", "running", "stop", "without_version_warnings"]
