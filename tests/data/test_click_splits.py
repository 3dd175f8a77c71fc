"""The protocol click: every pair in one part, negatives that nobody was ever observed with, the same for everybody."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prismrec.data import engine
from prismrec.data.click_splits import click_splits, draw_unobserved
from prismrec.data.schema import Interactions
from prismrec.data.sequences import Sequences
from prismrec.data.sessions import SessionSettings, clean
from prismrec.data.splits import SplitSettings, split
from prismrec.errors import ConfigError, DataError

BACKEND = engine.connect(threads=1)
N_USERS, N_ITEMS = 30, 60


def log(rows):
    """(user, item) pairs, one second apart."""
    users, items = zip(*rows, strict=True)
    table = {
        "user_id": list(users),
        "item_id": list(items),
        "timestamp": np.arange(len(rows)) * 1_000_000,
        "source_row": np.arange(1, len(rows) + 1),
    }
    return Interactions(engine.register(BACKEND, pa.table(table)), "us")


def some_rows(seed=0):
    """20 clicks of each user, a few of them repeated later."""
    rng = np.random.default_rng(seed)
    rows = [(f"u{u:02}", int(i)) for u in range(N_USERS) for i in rng.choice(N_ITEMS, 20, replace=False)]
    return rows + [rows[place] for place in rng.integers(0, len(rows), 50)]


def dealt(rows, clicks=None, **given):
    read = log(rows)
    cleaned = clean(read if clicks is None else log(clicks), SessionSettings(collapse_repeats=False))
    return list(click_splits(read, cleaned, SplitSettings(protocol="click", **given)))


def pairs(found, part):
    """{(user, item): is a click} of a part."""
    labelled = getattr(found, part)
    owners = np.repeat(labelled.users.to_pylist(), labelled.candidates.lengths)
    items = found.items.ids_of(labelled.candidates.values)
    return dict(zip(zip(owners.tolist(), items, strict=True), labelled.labels.tolist(), strict=True))


def trained(found):
    rows = engine.arrow(found.train.table)
    return list(zip(rows["user_id"].to_pylist(), rows["item_id"].to_pylist(), strict=True))


def test_every_pair_is_in_one_part_and_repeats_stay_together():
    rows = some_rows()
    found = dealt(rows, repeats=1)[0]
    training = set(trained(found))
    held = [{pair for pair, click in pairs(found, part).items() if click} for part in ("validation", "test")]
    assert training | held[0] | held[1] == set(rows)
    assert not training & held[0] and not training & held[1] and not held[0] & held[1]  # noqa: PT018
    assert sorted(trained(found)) == sorted(row for row in rows if row in training)


def test_two_tenths_are_for_validation_and_two_for_test():
    found = dealt([(u, i) for u in range(100) for i in range(u, u + 60)], repeats=1)[0]
    shares = [found.validation.labels.sum() / 6000, found.test.labels.sum() / 6000]
    np.testing.assert_allclose(shares, [0.2, 0.2], atol=0.02)
    assert len(trained(found)) / 6000 == pytest.approx(0.6, abs=0.02)


def test_half_of_the_pairs_of_each_user_in_each_part_are_clicks():
    found = dealt(some_rows(), repeats=1)[0]
    for labelled in (found.validation, found.test):
        starts = labelled.candidates.offsets[:-1]
        assert (2 * np.add.reduceat(labelled.labels.astype(int), starts) == labelled.candidates.lengths).all()
        assert len(set(labelled.users.to_pylist())) == len(labelled.users)


def test_a_negative_was_never_observed_and_is_drawn_once():
    rows = some_rows()
    found = dealt(rows, repeats=1)[0]
    negatives = [pair for part in ("validation", "test") for pair, click in pairs(found, part).items() if not click]
    assert not set(negatives) & set(rows)
    assert len(set(negatives)) == len(negatives) == found.validation.labels.sum() + found.test.labels.sum()
    assert {item for _, item in negatives} <= {item for _, item in rows}


def test_what_was_observed_but_is_no_click_is_no_negative_either():
    clicks = some_rows()
    rated_low = [(f"u{u:02}", i) for u in range(N_USERS) for i in range(0, N_ITEMS, 2)]
    found = dealt(clicks + rated_low, clicks, repeats=1)[0]
    negatives = [pair for pair, click in pairs(found, "test").items() if not click]
    assert negatives
    assert all(item % 2 for _, item in negatives)


def test_the_catalogue_holds_the_items_of_all_parts_by_id_without_counts():
    found = dealt(some_rows(), repeats=1)[0]
    assert found.items.ids.to_pylist() == sorted({item for _, item in some_rows()})
    assert not found.items.counts.any()


def test_repeats_differ_and_the_same_seed_gives_the_same_deal():
    first, second = dealt(some_rows(), repeats=2)
    again = dealt(some_rows(), repeats=1)[0]
    assert pairs(first, "test") == pairs(again, "test")
    assert pairs(first, "test") != pairs(second, "test")
    assert pairs(dealt(some_rows(), repeats=1, seed=7)[0], "test") != pairs(first, "test")
    assert len(dealt(some_rows())) == 5


def test_a_user_who_had_nearly_everything_gets_what_is_left():
    rows = [("all", i) for i in range(50)] + [("some", i) for i in range(0, 50, 2)] + [("other", 50), ("other", 51)]
    found = dealt(rows, repeats=1)[0]
    negatives = [pair for part in ("validation", "test") for pair, click in pairs(found, part).items() if not click]
    assert {item for user, item in negatives if user == "all"} == {50, 51}


def test_ids_of_uuid_type_are_dealt_too():
    rows = [(f"{u:032x}", i) for u in range(12) for i in range(u, u + 20)]
    text = [(f"{user[:8]}-{user[8:12]}-{user[12:16]}-{user[16:20]}-{user[20:]}", i) for user, i in rows]
    read = log(text)
    typed = Interactions(read.table.mutate(user_id=read.table.user_id.cast("uuid")), "us")
    cleaned = clean(typed, SessionSettings())
    found = next(click_splits(typed, cleaned, SplitSettings(protocol="click")))
    assert len(found.test.users) and len(found.test.users) <= 12  # noqa: PT018


def test_shares_that_leave_nothing_to_train_on_are_refused():
    with pytest.raises(ConfigError, match=r"test_share = 0.5 is held out twice under click.*less than 0.5"):
        dealt(some_rows(), test_share=0.5)


def test_a_log_without_held_out_pairs_is_an_error():
    with pytest.raises(DataError, match="click leaves nothing to test"):
        dealt([("a", 1)], test_share=0.001)


def test_the_row_protocols_send_click_to_its_own_module():
    with pytest.raises(ConfigError, match=r"split.protocol = click is not made of held-out rows alone"):
        split(log(some_rows()), SplitSettings(protocol="click"))


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_draws_are_distinct_unobserved_and_as_many_as_can_be(data):
    n_items = data.draw(st.integers(1, 12))
    rows = data.draw(st.lists(st.lists(st.integers(0, n_items - 1), max_size=14), min_size=1, max_size=6))
    wanted = np.array(data.draw(st.lists(st.integers(0, 14), min_size=len(rows), max_size=len(rows))))
    drawn = draw_unobserved(Sequences.from_lists(rows), wanted, n_items, np.random.default_rng(0))
    for had, own, n in zip(rows, drawn.to_lists(), wanted, strict=True):
        assert not set(had) & set(own)
        assert len(own) == len(set(own)) == min(n, n_items - len(set(had)))
        assert all(0 <= item < n_items for item in own)


@pytest.mark.parametrize("n_wanted", [2, 5])
def test_draws_are_uniform(n_wanted):
    """By redrawing (2 of 8 left) and by listing what is left (5 of 8)."""
    observed = Sequences.from_lists([[1, 3]] * 4000)
    drawn = draw_unobserved(observed, np.full(4000, n_wanted), 10, np.random.default_rng(0))
    first = drawn.values.reshape(4000, n_wanted)[:, 0]
    for values, n in ((drawn.values, 4000 * n_wanted), (first, 4000)):
        counts = np.bincount(values, minlength=10)
        assert not counts[[1, 3]].any()
        np.testing.assert_allclose(np.delete(counts, [1, 3]) / n, 1 / 8, atol=0.02)


# ---- what was shown ----


def rated_rows():
    """Each user is shown 24 items and clicks two thirds of them; one dislike of each is of an item clicked later."""
    rng = np.random.default_rng(4)
    rows = []
    for user in range(N_USERS):
        items = rng.choice(N_ITEMS, 24, replace=False).tolist()
        rows += [(f"u{user:02}", item, int(place % 3 > 0)) for place, item in enumerate(items)]
        rows.append((f"u{user:02}", items[0], 1))
    return rows


def dealt_as_shown(rows, min_rating=1.0, **given):
    users, items, ratings = zip(*rows, strict=True)
    table = {
        "user_id": list(users), "item_id": list(items), "rating": [float(r) for r in ratings],
        "timestamp": np.arange(len(rows)) * 1_000_000, "source_row": np.arange(1, len(rows) + 1),
    }  # fmt: skip
    read = Interactions(engine.register(BACKEND, pa.table(table)), "us")
    cleaned = clean(read, SessionSettings(min_rating=min_rating))
    chosen = SplitSettings(**{"protocol": "click", "negatives": "shown", "repeats": 1, **given})
    return list(click_splits(read, cleaned, chosen))


def rows_of(table):
    found = engine.arrow(table)
    return list(zip(found["user_id"].to_pylist(), found["item_id"].to_pylist(), strict=True))


def test_what_was_shown_and_not_clicked_is_told_from_clicks_and_the_rest_of_it_trains():
    rows = rated_rows()
    clicked = {(user, item) for user, item, rating in rows if rating}
    shown = {(user, item) for user, item, rating in rows if not rating} - clicked
    for found in dealt_as_shown(rows, repeats=2):
        parts = [pairs(found, "validation"), pairs(found, "test")]
        held = {pair: label for part in parts for pair, label in part.items()}
        assert len(held) == sum(map(len, parts))
        assert {pair for pair, label in held.items() if label} | set(trained(found)) == clicked
        assert {pair for pair, label in held.items() if not label} | set(rows_of(found.train.disliked)) == shown
        assert held.keys().isdisjoint([*trained(found), *rows_of(found.train.disliked)])
        for part in parts:
            n_negatives = sum(not label for label in part.values())
            assert n_negatives == pytest.approx(0.2 * len(shown), rel=0.3)


def test_a_catalogue_holds_what_was_shown_and_never_clicked():
    rows = [(f"u{n % 4}", n % 7, 1) for n in range(60)] + [("u0", 90, 0), ("u1", 91, 0)]
    [found] = dealt_as_shown(rows)
    assert {90, 91} <= set(found.items.ids.to_pylist())


def test_deals_of_what_was_shown_differ_and_come_again():
    rows = rated_rows()
    one, other = dealt_as_shown(rows, repeats=2)
    again = dealt_as_shown(rows, repeats=2)[0]
    assert pairs(one, "test") == pairs(again, "test") != pairs(other, "test")


def test_nothing_is_known_to_be_shown_without_ratings():
    with pytest.raises(ConfigError, match=r"split\.negatives = 'shown' needs rows .*: set sessions\.min_rating"):
        dealt(some_rows(), negatives="shown")
