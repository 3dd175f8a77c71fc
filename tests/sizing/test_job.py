"""The size of a data set: what is taken for granted, what is refused, what a settings file decides."""

import pytest

from prismrec.config import build
from prismrec.errors import ConfigError
from prismrec.settings import build_settings
from prismrec.sizing.job import MOST_NODES, Job, job_settings


def test_users_and_sequences_follow_from_the_clicks():
    job = Job(clicks=57_000, items=10, sequence_length=5.7)
    assert (job.n_users, job.n_sequences) == (2850, 10_000)
    assert Job(clicks=57_000, items=10, users=12).n_users == 12


def test_the_item_view_is_the_first_of_the_views():
    assert list(Job(clicks=1, items=5, views={"shop": 2}).n_nodes.items()) == [("item", 5), ("shop", 2)]


def test_more_nodes_than_indices_are_refused():
    with pytest.raises(ConfigError, match=r"'items'.*less than or equal to 2147483647"):
        build(Job, {"clicks": 1, "items": 2**31}, "plan")
    with pytest.raises(ConfigError, match="view 'shop' must have 1 to 2,147,483,647 nodes, got 2,147,483,648"):
        build(Job, {"clicks": 1, "items": 1, "views": {"shop": MOST_NODES + 1}}, "plan")


def test_items_are_no_side_view():
    with pytest.raises(ConfigError, match="'item' is the view of the items themselves"):
        build(Job, {"clicks": 1, "items": 1, "views": {"item": 3}}, "plan")


def test_no_clicks_are_no_job():
    with pytest.raises(ConfigError, match=r"'clicks'.*greater than or equal to 1"):
        build(Job, {"clicks": 0, "items": 1}, "plan")


def test_settings_decide_what_they_know():
    settings = build_settings(
        {
            "model": {"embedding_dim": 32, "window": 3, "negatives": 7, "context": "symmetric"},
            "training": {"epochs": 4},
            "sharding": {"storage": "bf16"},
            "views": {"shop": "shop_id"},
        }
    )
    known = job_settings(settings, {"shop": 9})
    options = {"dim": 32, "window": 3, "negatives": 7, "context": "symmetric", "epochs": 4, "storage": "bf16"}
    assert known == options


def test_a_view_of_the_settings_needs_its_number_of_nodes():
    settings = build_settings({"views": {"shop": "shop_id", "category": "kind"}})
    with pytest.raises(ConfigError, match=r"views 'shop', 'category': say how many nodes.*--views shop=N,category=N"):
        job_settings(settings, {})
    with pytest.raises(ConfigError, match="the view 'category': say how many"):
        job_settings(settings, {"shop": 1})


def test_defaults_are_those_of_the_settings():
    settings = build_settings({})
    assert job_settings(settings, {}).items() <= Job(clicks=1, items=1).model_dump().items()


def test_histories_are_as_long_as_users_are_active():
    settings = build_settings({"model": {"sequences": "histories"}})
    assert job_settings(settings, {}, 33.0)["sequence_length"] == 33.0
    assert "sequence_length" not in job_settings(build_settings({}), {}, 33.0)
