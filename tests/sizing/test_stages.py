"""What each stage costs: times by hand, and how they move with sizes and machines."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prismrec.sizing import rates
from prismrec.sizing.job import Job
from prismrec.sizing.layout import EIGHT_GPUS, LAPTOP, LAYOUTS, MANY_GPUS, SERVER, Layout
from prismrec.sizing.shares import preparation_disk_bytes, prepared_bytes
from prismrec.sizing.stages import (
    ALL,
    bundle,
    checkpoint,
    effective_cores,
    gpu_floor,
    gpu_seconds,
    preparation,
    processor_seconds,
    query_seconds,
    serving,
    training,
)
from prismrec.sizing.storage import bundle_bytes, codes_bytes, matrices_bytes, model_bytes
from prismrec.sizing.traffic import rows_per_epoch

SMALL = Job(clicks=1_000_000, items=100_000, epochs=2)
LARGE = Job(clicks=57 * 10**9, items=10**9)


def test_cores_beyond_the_two_that_were_measured_count_less():
    assert effective_cores(LAPTOP) == 2
    assert effective_cores(SERVER) == 2 + 30 * 0.7
    assert effective_cores(Layout(cores=1)) == 1


def test_preparation_in_memory_by_hand():
    stage = preparation(SMALL, LAPTOP)
    assert stage.seconds.value == 2 + 1.1e6 / (0.42e6 * 2)
    assert stage.per_machine.value == 0.36e9 + 56e6 + 28e5
    assert (stage.disk.value, stage.disk.origin) == (prepared_bytes(SMALL), "counted")


def test_long_logs_are_prepared_in_stages_within_the_memory_there_is():
    stage = preparation(LARGE, SERVER)
    assert stage.per_machine.value == 0.8 * SERVER.memory_bytes
    assert stage.disk.value == preparation_disk_bytes(LARGE)
    assert stage.seconds.value == 2 + 58e9 / (rates.STAGED_PREPARATION.value * 23)


def test_times_of_spark_are_said_to_be_those_of_duckdb():
    assert "not with Spark" in preparation(LARGE, MANY_GPUS).seconds.how
    assert "Spark" not in preparation(LARGE, EIGHT_GPUS).seconds.how


def test_training_on_two_cores_by_hand():
    figure = processor_seconds(SMALL, LAPTOP)
    assert figure.value == pytest.approx(2 * rows_per_epoch(SMALL) / (14e6 * 2))
    assert figure.origin == "derived"
    assert "at 100,000 items" in figure.how


def test_training_takes_twice_as_long_with_twice_the_numbers():
    wide = SMALL.model_copy(update={"dim": 128})
    assert processor_seconds(wide, LAPTOP).value == 2 * processor_seconds(SMALL, LAPTOP).value


def test_larger_catalogues_learn_at_the_rate_of_the_next_larger_one_that_was_measured():
    job = SMALL.model_copy(update={"items": 100_001})
    assert "at 1,000,000 items" in processor_seconds(job, LAPTOP).how
    assert f"at {max(rates.ROWS):,} items" in processor_seconds(LARGE, SERVER).how


def test_processes_learn_at_the_rate_of_torch():
    figure = processor_seconds(SMALL, Layout(processes=2))
    assert figure.value == pytest.approx(2 * rows_per_epoch(SMALL) / (rates.SHARDED_ROWS.value * 1.7))


def test_one_gpu_is_bound_by_its_memory():
    figure = gpu_floor(SMALL, Layout(gpus=1))
    assert figure.value == pytest.approx(2 * rows_per_epoch(SMALL) * 520 / 4.8e12)
    assert figure.origin == "floor"
    assert "device memory" in figure.how


def test_eight_gpus_are_bound_by_their_links():
    # of eight devices each moves an eighth of the rows, and fetches seven eighths of those: 520 bytes a row
    figure = gpu_floor(SMALL, EIGHT_GPUS)
    assert figure.value == pytest.approx(2 * rows_per_epoch(SMALL) / 8 * 7 / 8 * 520 / 450e9)
    assert "NVLink" in figure.how


def test_eight_machines_are_bound_by_the_network():
    figure = gpu_floor(SMALL, MANY_GPUS)
    assert figure.value == pytest.approx(2 * rows_per_epoch(SMALL) / 64 * 7 / 8 * 520 / 50e9)
    assert "network" in figure.how


def test_rows_from_the_same_machine_travel_inside_it():
    memory, links, network = gpu_seconds(SMALL, MANY_GPUS).values()
    rows = 2 * rows_per_epoch(SMALL) / 64
    assert memory == pytest.approx(rows * 520 / 4.8e12)
    assert links == pytest.approx(rows * (1 / 8 - 1 / 64) * 520 / 450e9)
    assert network == pytest.approx(rows * 7 / 8 * 520 / 50e9)


def test_fifty_seven_billion_pairs_have_a_floor_below_ten_minutes_on_one_gpu():
    # what M2GRL learned from, as pairs of endless sequences: 14 / 3 rows a pair at 520 bytes
    pairs = 57e9
    assert pairs * 14 / 3 * 520 / rates.GPU_BANDWIDTH.value == pytest.approx(28.8, abs=0.1)


def test_checkpoint_lies_twice_on_disk_and_is_written_by_all_machines():
    stage = checkpoint(LARGE, MANY_GPUS)
    size = model_bytes({"item": 10**9}, 64)
    assert stage.disk.value == 2 * size
    assert stage.seconds.value == size / 8 / 0.5e9


def test_bundle_and_serving_by_hand():
    job = Job(clicks=10**6, items=10**6, views={"shop": 1000}, dim=8)
    size = bundle_bytes({"item": 10**6, "shop": 1000}, 8, 12)
    stage = bundle(job, LAPTOP)
    assert stage.disk.value == size
    assert stage.seconds.value == size / 0.5e9 + 16e6 / rates.CODES.value
    answers = serving(job, LAPTOP)
    assert answers.per_process.value == codes_bytes(10**6, 2, 8)
    assert answers.per_machine.value == matrices_bytes(10**6, 2, 8)
    assert answers.seconds.value == query_seconds(job) == 17e6 / rates.SCAN.value


def test_stages_come_in_the_order_in_which_they_run():
    names = [stage(SMALL, LAPTOP).name for stage in ALL]
    assert names == ["preparation", "training", "checkpoint", "bundle", "serving"]


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
def test_every_figure_says_how_it_came_about(layout):
    for stage in ALL:
        made = stage(LARGE, layout)
        for figure in (made.per_process, made.per_machine, made.disk, made.seconds):
            assert figure is None or (figure.value >= 0 and figure.how)


@pytest.mark.parametrize("layout", [EIGHT_GPUS, MANY_GPUS], ids=lambda layout: layout.name)
def test_times_on_gpus_are_floors(layout):
    assert training(LARGE, layout).seconds.origin == "floor"


@given(st.integers(1, 10**11), st.integers(1, 10**9), st.sampled_from(LAYOUTS))
def test_twice_the_clicks_never_cost_less(clicks, items, layout):
    once, twice = (Job(clicks=n, items=items) for n in (clicks, 2 * clicks))
    for stage in ALL:
        before, after = stage(once, layout), stage(twice, layout)
        for name in ("per_process", "per_machine", "disk"):
            small, large = getattr(before, name), getattr(after, name)
            assert small is None or large.value >= small.value
