"""A folder that an executor has for itself is found out before rows are lost there."""

from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from prismrec.data.engines import shared_disk
from prismrec.data.engines.shared_disk import probe, require_shared
from prismrec.data.engines.spark_session import running
from prismrec.errors import ConfigError


def session(master, *, here, writes):
    """Stands for Spark on a cluster of which only some executors write `here`: to a share of the rows."""

    def write(address):
        place = Path(address.removeprefix("file://"))
        place.mkdir()
        pq.write_table(pa.table({"id": range(here)}), place / "part-0.parquet")
        writes.append(place)

    frame = SimpleNamespace(write=SimpleNamespace(parquet=write))
    return SimpleNamespace(sparkContext=SimpleNamespace(master=master), range=lambda *numbers: frame)


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch):
    monkeypatch.setattr(shared_disk, "_found_shared", set())


def test_rows_that_went_elsewhere_are_an_error(tmp_path):
    cluster = session("spark://head:7077", here=6_000, writes=[])
    with pytest.raises(ConfigError, match=r"not the same folder on every executor: of 10,000 rows .* 6,000 are here"):
        require_shared(cluster, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_disk_is_probed_once(tmp_path):
    writes: list[Path] = []
    cluster = session("yarn", here=10_000, writes=writes)
    for _ in range(2):
        require_shared(cluster, tmp_path)
    assert len(writes) == 1


@pytest.mark.parametrize("master", ["local", "local[2]", "local[*]"])
def test_one_machine_sees_its_own_disk(tmp_path, master):
    require_shared(session(master, here=0, writes=[]), tmp_path)


def test_a_real_spark_passes(spark, tmp_path):
    probe(running().session, tmp_path)
    assert list(tmp_path.iterdir()) == []
