"""Machines: how many workers, what they are called, what contradicts itself."""

import pytest

from prismrec.config import build
from prismrec.errors import ConfigError
from prismrec.sizing.layout import EIGHT_GPUS, LAPTOP, LAYOUTS, MANY_GPUS, SERVER, Layout


def test_workers_are_devices_where_there_are_any():
    assert [layout.workers for layout in LAYOUTS] == [1, 1, 8, 64]
    assert Layout(machines=3, processes=2).workers == 6


def test_gpus_and_processes_exclude_each_other():
    with pytest.raises(ConfigError, match="each device has one process"):
        build(Layout, {"gpus": 8, "processes": 2}, "plan")


def test_a_tenth_of_a_device_is_left_to_cuda():
    assert EIGHT_GPUS.usable_gpu_bytes == pytest.approx(0.9 * 141e9)


def test_titles_say_what_there_is():
    assert LAPTOP.title == "laptop: 2 cores, 24 GB"
    assert Layout(cores=4, memory_bytes=16 * 10**9).title == "1 machine with 4 cores and 16 GB, 1 process"
    assert Layout(machines=2, processes=3).title == "2 machines with 2 cores and 24 GB each, 3 processes"
    assert Layout(gpus=2).title == "1 machine with 2 GPUs of 141 GB, 2 cores and 24 GB"


def test_layouts_of_the_documents_are_what_their_names_say():
    assert (SERVER.cores, SERVER.memory_bytes) == (32, 256 * 10**9)
    assert (EIGHT_GPUS.machines, EIGHT_GPUS.gpus) == (1, 8)
    assert (MANY_GPUS.machines, MANY_GPUS.gpus) == (8, 8)
