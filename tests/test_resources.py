"""What a machine still has, read from trees of files as Linux lays them out, and from this machine."""

import os
import resource
import subprocess
import sys

import pytest

from prismrec.resources import Memory, available_cores, disk_of, free_device_memory, free_memory, read_resources

MEMINFO = "MemTotal: 100 kB\nMemAvailable: 60 kB\nCommitLimit: 90 kB\nCommitted_AS: 20 kB\nHugePages_Total: 0\n"


@pytest.fixture
def machine(tmp_path):
    """A root folder; `write(path, text)` puts a file below it."""
    (tmp_path / "dev" / "shm").mkdir(parents=True)

    def write(path, text):
        place = tmp_path / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(f"{text}\n")

    write("proc/meminfo", MEMINFO)
    return tmp_path, write


def test_without_control_groups_free_memory_is_what_the_system_has_available(machine):
    root, _ = machine
    assert free_memory(root) == Memory(60 * 1024, "/proc/meminfo")


def test_a_tighter_control_group_of_version_2_decides(machine):
    root, write = machine
    write("proc/self/cgroup", "0::/jobs/mine")
    write("sys/fs/cgroup/jobs/mine/memory.max", 50_000)
    write("sys/fs/cgroup/jobs/mine/memory.current", 30_000)
    found = free_memory(root)
    assert found == Memory(20_000, str(root / "sys/fs/cgroup/jobs/mine/memory.max"))


def test_files_that_the_group_can_drop_count_as_free(machine):
    root, write = machine
    write("proc/self/cgroup", "0::/mine")
    write("sys/fs/cgroup/mine/memory.max", 50_000)
    write("sys/fs/cgroup/mine/memory.current", 30_000)
    write("sys/fs/cgroup/mine/memory.stat", "anon 1\ninactive_file 4000")
    assert free_memory(root).free_bytes == 24_000


def test_a_group_above_may_be_the_tightest(machine):
    root, write = machine
    write("proc/self/cgroup", "0::/jobs/mine")
    for group, limit in (("jobs", 31_000), ("jobs/mine", 50_000)):
        write(f"sys/fs/cgroup/{group}/memory.max", limit)
        write(f"sys/fs/cgroup/{group}/memory.current", 30_000)
    assert free_memory(root).free_bytes == 1_000


def test_control_groups_of_version_1_count_too(machine):
    root, write = machine
    write("proc/self/cgroup", "9:name=systemd:/\n4:memory:/box")
    write("sys/fs/cgroup/memory/box/memory.limit_in_bytes", 10_000)
    write("sys/fs/cgroup/memory/box/memory.usage_in_bytes", 8_000)
    assert free_memory(root).free_bytes == 2_000


@pytest.mark.parametrize("limit", ["max", str(2**63 - 4096)])
def test_a_group_without_a_limit_says_nothing(machine, limit):
    root, write = machine
    write("proc/self/cgroup", "0::/mine")
    write("sys/fs/cgroup/mine/memory.max", limit)
    write("sys/fs/cgroup/mine/memory.current", 1)
    assert free_memory(root).source == "/proc/meminfo"


def test_a_group_beyond_its_limit_leaves_nothing(machine):
    root, write = machine
    write("proc/self/cgroup", "0::/mine")
    write("sys/fs/cgroup/mine/memory.max", 10)
    write("sys/fs/cgroup/mine/memory.current", 20)
    assert free_memory(root).free_bytes == 0


def test_a_system_that_tells_nothing_is_not_known(tmp_path):
    assert free_memory(tmp_path) is None
    there = read_resources({}, tmp_path)
    assert (there.memory, there.commit_bytes, there.shared_memory_bytes) == (None, None, None)


@pytest.mark.parametrize(("mode", "left"), [("0", None), ("1", None), ("2", 70 * 1024)])
def test_promises_count_only_where_the_system_keeps_to_them(machine, mode, left):
    root, write = machine
    write("proc/sys/vm/overcommit_memory", mode)
    assert read_resources({}, root).commit_bytes == left


def test_limits_of_open_files_are_those_of_this_process():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    there = read_resources({})
    assert there.open_files in (soft, None)
    assert there.most_open_files in (hard, None)


def test_the_disk_of_a_folder_to_come_is_that_of_the_nearest_one_above(tmp_path):
    disk = disk_of(tmp_path / "not" / "yet" / "there")
    assert disk.path == tmp_path
    assert disk.device == tmp_path.stat().st_dev
    free = os.statvfs(tmp_path)
    assert disk.free_bytes == pytest.approx(free.f_bavail * free.f_frsize, rel=0.05)


def test_places_on_one_file_system_have_one_device(tmp_path):
    (tmp_path / "a").mkdir()
    disks = read_resources({"bundle": tmp_path / "a", "run": tmp_path / "b"}).disks
    assert disks["bundle"].device == disks["run"].device


def test_this_machine_has_memory_and_shared_memory():
    there = read_resources({})
    if there.memory is None:
        pytest.skip("this system tells nothing of its memory")
    assert 0 < there.memory.free_bytes < 2**50


def test_gpus_are_looked_at_only_where_asked():
    assert read_resources({}).device_bytes is None
    assert read_resources({}, devices=True).device_bytes == free_device_memory()


def test_without_torch_or_gpu_device_memory_is_not_known():
    torch = pytest.importorskip("torch", reason="devices are seen through torch")
    free = free_device_memory()
    assert (free is not None) == torch.cuda.is_available()
    assert free is None or free > 0


def test_cores_are_those_that_the_process_may_use():
    code = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); "
    code += "from prismrec.resources import available_cores; print(available_cores())"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert (shown.strip(), available_cores()) == ("1", len(os.sched_getaffinity(0)))
