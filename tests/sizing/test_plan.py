"""The plan: what fits, what helps where it does not, and what to run."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prismrec.sizing.job import Job
from prismrec.sizing.layout import EIGHT_GPUS, LAPTOP, MANY_GPUS, SERVER, Layout
from prismrec.sizing.plan import (
    MOST_MACHINES,
    Plan,
    fits_in_host_memory,
    largest_dim,
    machines_needed,
    make_plan,
    summary,
    training_fits,
    training_room,
)

M2GRL = Job(clicks=57 * 10**9, items=10**9)
SHOP = Job(clicks=10**6, items=24_000, views={"category": 1_770}, epochs=5)


def said(plan: Plan, stage: str) -> list[str]:
    return [f"{verdict.kind}: {verdict.text}" for verdict in plan.verdicts if verdict.stage == stage]


def test_a_small_shop_fits_on_a_laptop():
    plan = make_plan(SHOP, LAPTOP)
    assert plan.fits
    assert {verdict.kind for verdict in plan.verdicts} == {"fits"}
    assert plan.commands == (
        "prismrec prepare shop.toml -o prepared",
        "prismrec train shop.toml --prepared prepared -o bundle",
        "prismrec serve bundle",
    )


def test_a_billion_items_fit_on_eight_gpus():
    plan = make_plan(M2GRL, EIGHT_GPUS)
    assert plan.fits
    (text,) = said(plan, "training")
    assert text.startswith("fits: 8")
    assert "on each of 8 devices, 127 GB usable" in text


def test_a_billion_items_do_not_fit_on_a_server_and_the_plan_says_what_would():
    plan = make_plan(M2GRL, SERVER)
    assert not plan.fits
    (text,) = said(plan, "training")
    assert text.startswith("short: ")
    assert "on each machine, 256 GB usable: take " in text
    assert "such machines" in text


def test_twice_the_numbers_fit_in_half_the_bytes_or_on_the_host():
    job = M2GRL.model_copy(update={"dim": 128})
    (text,) = said(make_plan(job, EIGHT_GPUS), "training")
    assert 'sharding.storage = "bf16"' in text
    assert 'sharding.placement = "host"' in text
    assert "take 2 such machines (16 GPUs)" in text
    assert "model.embedding_dim = " in text


def test_what_every_process_must_know_can_be_too_much_for_any_number_of_machines():
    tiny = Layout(memory_bytes=10**9)
    (text,) = said(make_plan(M2GRL, tiny), "training")
    assert "machines with more memory" in text
    assert machines_needed(M2GRL, tiny) is None


def test_the_fewest_machines_are_the_fewest():
    for dim in (64, 512, 1024):
        job = M2GRL.model_copy(update={"dim": dim})
        found = machines_needed(job, EIGHT_GPUS)
        assert found is not None
        assert training_fits(job, EIGHT_GPUS.model_copy(update={"machines": found}))
        if found > 1:
            assert not training_fits(job, EIGHT_GPUS.model_copy(update={"machines": found - 1}))


def test_the_largest_dimension_is_the_largest():
    job = M2GRL.model_copy(update={"dim": 1024})
    found = largest_dim(job, EIGHT_GPUS)
    assert found is not None
    assert found % 8 == 0
    assert training_fits(job.model_copy(update={"dim": found}), EIGHT_GPUS)
    assert not training_fits(job.model_copy(update={"dim": found + 8}), EIGHT_GPUS)
    assert largest_dim(M2GRL, Layout(memory_bytes=10**9)) is None


def test_the_tighter_of_device_and_host_decides():
    layout = Layout(gpus=8, memory_bytes=10**9)
    needed, room, where = training_room(M2GRL, layout)
    assert (room, where) == (1e9, "on each machine")
    assert needed > room
    assert training_room(M2GRL, EIGHT_GPUS)[2] == "on each of 8 devices"


def test_tables_on_the_host_need_room_beside_the_sequences():
    assert fits_in_host_memory(M2GRL, EIGHT_GPUS)
    assert not fits_in_host_memory(M2GRL.model_copy(update={"dim": 256}), EIGHT_GPUS)


def test_disk_is_looked_at_where_it_is_known():
    assert said(make_plan(SHOP, LAPTOP), "disk") == []
    roomy, tight = (make_plan(SHOP, LAPTOP.model_copy(update={"disk_bytes": n})) for n in (10**12, 10**6))
    assert said(roomy, "disk")[0].startswith("fits: ")
    assert "more are needed, or fewer clicks" in said(tight, "disk")[0]
    assert not tight.fits


def test_slow_answers_are_told_but_fit():
    plan = make_plan(M2GRL, EIGHT_GPUS)
    assert plan.fits
    (text,) = [text for text in said(plan, "serving") if text.startswith("slow")]
    assert "a query compares 1 B codes" in text
    assert 'index.kind = "ivf"' in text


def test_matrices_beyond_memory_are_read_from_disk():
    assert "the rest is read from disk" in said(make_plan(M2GRL, SERVER), "serving")[0]


def test_processes_that_one_could_do_without_are_told_so():
    plan = make_plan(SHOP, Layout(processes=2))
    (text,) = [text for text in said(plan, "training") if text.startswith("slow")]
    assert "one process needs no other's memory" in text
    assert said(make_plan(M2GRL, Layout(processes=2, machines=64)), "training")[0].startswith("short")


def test_commands_of_several_processes_share_out_the_shards():
    plan = make_plan(SHOP, Layout(processes=3), "my shop.toml")
    assert plan.commands[0] == "prismrec prepare 'my shop.toml' -o prepared --shards 3"
    assert plan.commands[1] == "prismrec train 'my shop.toml' --prepared prepared -o bundle --processes 3"


def test_commands_of_gpus_name_the_device():
    commands = make_plan(M2GRL, EIGHT_GPUS).commands
    assert commands[0].endswith("--shards 576")
    assert commands[1].endswith("--set training.implementation=torch --set training.device=cuda --processes 8")


def test_commands_of_several_machines_are_torchruns_and_prepare_on_spark():
    commands = make_plan(M2GRL, MANY_GPUS).commands
    assert "--set engine=spark" in commands[0]
    assert commands[1].startswith("torchrun --nnodes 8 --nproc-per-node 8 --rdzv-backend c10d")
    assert " -m prismrec train shop.toml --prepared prepared -o bundle" in commands[1]


def test_long_logs_have_a_shard_for_every_hundred_million_clicks():
    job = SHOP.model_copy(update={"clicks": 950_000_000})
    assert make_plan(job, LAPTOP).commands[0].endswith("--shards 10")


def test_summary_counts_the_pairs_of_all_epochs():
    plan = make_plan(SHOP, LAPTOP)
    text = summary(plan)
    assert text.startswith("1 M clicks, nodes: item 24 k, category 1.77 k; dim 64, 5 epochs: 9.8")
    assert text.endswith("M positive pairs")
    assert plan.pairs == pytest.approx(5 * 1.966e6, rel=0.001)


@given(st.integers(1, 10**11), st.integers(1, 2 * 10**9), st.sampled_from([8, 64, 256]), st.integers(0, 8))
def test_what_fits_fits_with_more_machines_too(clicks, items, dim, gpus):
    job, layout = Job(clicks=clicks, items=items, dim=dim), Layout(gpus=gpus)
    if training_fits(job, layout):
        assert machines_needed(job, layout) == 1
    needed = machines_needed(job, layout)
    assert needed is None or 1 <= needed <= MOST_MACHINES
