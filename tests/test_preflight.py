"""Checks before hours are spent: what is short, what nearly, and what small jobs never hear of. Limits are given."""

import itertools
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prismrec.errors import ResourceError
from prismrec.models.m2grl.config import M2GRLConfig
from prismrec.preflight import (
    LINK_BYTES,
    SMALL_BYTES,
    Needs,
    check,
    preparation_needs,
    require,
    rows_of,
    training_needs,
)
from prismrec.resources import Disk, Memory, Resources
from prismrec.sizing.storage import bundle_bytes, model_bytes, noise_bytes

GB = 10**9


def machine(**changes):
    """A machine with 24 GB of memory, 12 of them shared, 1024 open files and a disk of 70 GB."""
    known = {
        "memory": Memory(24 * GB, "/proc/meminfo"),
        "shared_memory_bytes": 12 * GB,
        "open_files": 1024,
        "most_open_files": 4096,
    }
    return Resources(**{**known, **changes})


def disks(tmp_path, **free_gigabytes):
    """Disks by place; those of equal size are one and the same."""
    return {name: Disk(int(free), int(free * GB), tmp_path) for name, free in free_gigabytes.items()}


def test_a_job_that_has_room_has_no_findings(tmp_path):
    needs = Needs("training", 10 * GB, GB, 500, {"bundle": 5 * GB})
    assert check(needs, {"bundle": tmp_path}, machine(disks=disks(tmp_path, bundle=70))) == []


def test_too_little_memory_names_both_figures_and_who_counts():
    (finding,) = check(Needs("training", memory_bytes=30 * GB), {}, machine())
    assert (finding.level, finding.resource, finding.needed, finding.there) == ("shortage", "memory", 30 * GB, 24 * GB)
    assert "memory (as /proc/meminfo says): 30 GB needed, 24 GB there" in finding.message


def test_memory_that_just_suffices_is_a_warning():
    levels = {
        n: [f.level for f in check(Needs("x", n), {}, machine())] for n in (21 * GB, 22 * GB, 24 * GB, 24 * GB + 1)
    }
    assert list(levels.values()) == [[], ["warning"], ["warning"], ["shortage"]]


def test_promised_memory_is_checked_where_the_system_keeps_promises():
    (finding,) = check(Needs("training", memory_bytes=10 * GB), {}, machine(commit_bytes=8 * GB))
    assert finding.resource == "committed memory"
    assert "vm.overcommit_memory" in finding.message


def test_too_little_memory_of_a_gpu_names_what_helps():
    (finding,) = check(Needs("training", device_bytes=150 * GB), {}, machine(device_bytes=139 * GB))
    assert "memory of each GPU: 150 GB needed, 139 GB there" in finding.message
    assert 'sharding.storage = "bf16"' in finding.message


def test_too_little_shared_memory_says_how_to_get_more():
    (finding,) = check(Needs("training", shared_memory_bytes=GB), {}, machine(shared_memory_bytes=64_000_000))
    assert "/dev/shm: 1 GB needed, 64 MB there" in finding.message
    assert "--shm-size" in finding.message


@pytest.mark.parametrize(("wanted", "remedy"), [(2000, "ulimit -n 2000"), (5000, "limits.conf")])
def test_too_few_open_files_say_what_may_be_raised(wanted, remedy):
    (finding,) = check(Needs("training", open_files=wanted), {}, machine())
    assert f"{wanted:,} needed per process, 1,024 allowed" in finding.message
    assert remedy in finding.message


def test_unlimited_open_files_are_enough():
    assert check(Needs("training", open_files=10**6), {}, machine(open_files=None)) == []


def test_places_on_one_disk_add_up(tmp_path):
    needs = Needs("training", disk_bytes={"bundle": 40 * GB, "run": 40 * GB})
    (finding,) = check(needs, {}, machine(disks=disks(tmp_path, bundle=70, run=70)))
    assert finding.needed == 80 * GB
    assert f"disk at {tmp_path} for bundle and run: 80 GB needed, 70 GB there" in finding.message


def test_places_on_two_disks_do_not_add_up(tmp_path):
    needs = Needs("training", disk_bytes={"bundle": 40 * GB, "run": 40 * GB})
    assert check(needs, {}, machine(disks=disks(tmp_path, bundle=70, run=60))) == []


@given(st.integers(0, SMALL_BYTES - 1), st.integers(0, 256))
def test_small_jobs_are_never_stopped(size, files):
    empty = Resources(Memory(0, "nothing"), 0, 0, 1, 1, {"bundle": Disk(1, 0, Path("/"))})
    assert check(Needs("demo", size, size, files, {"bundle": size}), {}, empty) == []


def test_what_is_not_known_is_not_checked():
    assert check(Needs("training", 10**15, 10**15, 10**6, {"bundle": 10**15}), {}, Resources()) == []


def test_one_error_lists_every_shortage_and_the_advice(tmp_path):
    needs = Needs("training", 30 * GB, 0, 0, {"bundle": 100 * GB}, advice="a smaller dim takes less")
    with pytest.raises(ResourceError, match=r"too little here for training: memory.*30 GB needed.*; disk.*smaller dim"):
        require(needs, {}, machine(disks=disks(tmp_path, bundle=70)))


def test_warnings_do_not_stop_and_are_handed_back():
    assert [finding.level for finding in require(Needs("training", 23 * GB), {}, machine())] == ["warning"]


def test_this_machine_is_looked_at_unless_limits_are_given(tmp_path):
    with pytest.raises(ResourceError, match="1,000 EB needed"):
        require(Needs("a copy of everything", disk_bytes={"bundle": 10**21}), {"bundle": tmp_path / "new"})


# ---- what training needs ----

NODES = {"item": 10**6, "shop": 10**4}


def test_one_process_needs_tables_noise_checkpoints_and_a_bundle():
    config = M2GRLConfig(embedding_dim=64)
    needs = training_needs(NODES, config)
    model = model_bytes(NODES, 64)
    assert needs.memory_bytes == model + noise_bytes(10**6) + noise_bytes(10**4)
    assert needs.disk_bytes == {"run": 2 * model, "bundle": bundle_bytes(NODES, 64, 4)}
    assert (needs.shared_memory_bytes, needs.device_bytes) == (0, 0)


def test_tables_are_shared_out_but_every_process_knows_all_nodes():
    one, two = (training_needs(NODES, M2GRLConfig(), processes=n) for n in (1, 2))
    assert two.memory_bytes - one.memory_bytes == noise_bytes(10**6) + noise_bytes(10**4)


def test_machines_share_the_tables_and_the_checkpoints():
    one, four = (training_needs(NODES, M2GRLConfig(alignment=False), machines=n) for n in (1, 4))
    noise = noise_bytes(10**6) + noise_bytes(10**4)
    assert four.memory_bytes - noise == (one.memory_bytes - noise) // 4
    assert four.disk_bytes["run"] == 2 * (one.disk_bytes["run"] // 2 // 4)


def test_tables_on_devices_need_no_main_memory_but_links():
    needs = training_needs(NODES, M2GRLConfig(), processes=8, on_device=True)
    assert needs.memory_bytes == 8 * (noise_bytes(10**6) + noise_bytes(10**4))
    assert needs.shared_memory_bytes == 8 * LINK_BYTES
    assert needs.device_bytes == model_bytes(NODES, 64) // 8 + 12 * (10**6 + 10**4)


def test_early_stopping_keeps_the_tables_twice():
    plain, best = (training_needs(NODES, M2GRLConfig(), keeps_best=keeps) for keeps in (False, True))
    assert best.memory_bytes - plain.memory_bytes == model_bytes(NODES, 64)
    assert best.disk_bytes["run"] == 2 * plain.disk_bytes["run"]


def test_a_checkpoint_that_is_there_is_not_needed_again():
    size = model_bytes(NODES, 64)
    assert training_needs(NODES, M2GRLConfig(), written=size).disk_bytes["run"] == size
    assert training_needs(NODES, M2GRLConfig(), written=3 * size).disk_bytes["run"] == 0


def test_a_demo_is_never_stopped_by_the_smallest_machine():
    tiny = Resources(Memory(SMALL_BYTES, "x"), SMALL_BYTES, 0, 256, 256, {"run": Disk(1, SMALL_BYTES, Path("/"))})
    assert check(training_needs({"item": 24_000, "category": 1_770}, M2GRLConfig()), {}, tiny) == []


def test_more_of_anything_never_needs_less():
    sizes = [10**5, 10**6, 10**7]
    needs = [training_needs({"item": n}, M2GRLConfig(embedding_dim=d)) for n, d in itertools.product(sizes, [8, 64])]
    memory = np.array([need.memory_bytes for need in needs]).reshape(3, 2)
    assert (np.diff(memory, axis=0) > 0).all()
    assert (np.diff(memory, axis=1) > 0).all()


# ---- what preparation needs ----


def test_stages_of_a_long_log_need_disk():
    needs = preparation_needs(10**9, 3)
    assert needs.disk_bytes == {"stages": 13 * GB}
    assert needs.job == "preparing 1 B clicks in 3 views"


def test_what_an_earlier_run_left_is_not_needed_again():
    assert preparation_needs(10**9, 3, written=12 * GB).disk_bytes == {"stages": GB}
    assert preparation_needs(10**9, 3, written=20 * GB).disk_bytes == {"stages": 0}


def test_too_little_disk_for_the_stages_is_told_before_they_begin(tmp_path):
    with pytest.raises(ResourceError, match="for preparing 1 B clicks in 3 views: disk .* for stages: 13 GB needed"):  # noqa: RUF043
        require(preparation_needs(10**9, 3), {}, machine(disks=disks(tmp_path, stages=10)))


def test_rows_are_counted_by_the_footers_of_parquet_files(tmp_path):
    for name, n in (("a.parquet", 3), ("b.parquet", 4)):
        pq.write_table(pa.table({"x": range(n)}), tmp_path / name)
    (tmp_path / "c.csv").write_text("x\n1\n")
    (tmp_path / "damaged.parquet").write_bytes(b"PAR1")
    assert rows_of(sorted(tmp_path.iterdir())) == 7
