"""The tables of what may be tried: every field exists, every default lies inside, and none is hopelessly wider."""

from typing import get_args

import pytest

from prismrec.errors import ConfigError
from prismrec.evaluation.tuning import replaced
from prismrec.models.algorithms import TRANSLATION, Algorithm
from prismrec.search.spaces import SPACES, OneOf, Real, Whole, full_name, search_space, value_of
from prismrec.settings import Settings, build_settings

FIELDS = [(algorithm, name) for algorithm in SPACES for name in SPACES[algorithm]]


def ends(knob):
    return knob.values if isinstance(knob, OneOf) else (knob.low, knob.high)


def test_every_algorithm_that_learns_from_clicks_has_a_table():
    assert set(SPACES) == set(get_args(Algorithm)) - set(TRANSLATION)


def test_algorithms_that_learn_from_triples_are_refused():
    with pytest.raises(ConfigError, match="transe learns from triples alone"):
        search_space(Settings(), "transe")


@pytest.mark.parametrize(("algorithm", "name"), FIELDS, ids=lambda part: str(part))
def test_settings_take_every_value_and_have_their_default_among_them(algorithm, name):
    settings, knob = Settings(), SPACES[algorithm][name]
    default = value_of(settings, full_name(algorithm, name))
    assert knob.holds(default), f"the default {default} lies outside: it would be tried once and never neared"
    for value in ends(knob):
        assert value_of(replaced(settings, full_name(algorithm, name), value), full_name(algorithm, name)) == value


@pytest.mark.parametrize("algorithm", SPACES)
def test_spaces_are_alike_in_size(algorithm):
    assert 4 <= len(SPACES[algorithm]) <= 8


def test_numbers_that_may_be_zero_are_on_no_logarithm():
    for algorithm, table in SPACES.items():
        for name, knob in table.items():
            if isinstance(knob, Real | Whole) and knob.log:
                assert knob.low > 0, f"{algorithm}.{name}"


@pytest.mark.parametrize(
    ("knob", "value", "widened"),
    [
        (Real(0.1, 0.5), 0.7, Real(0.1, 0.7)),
        (Real(0.1, 0.5), 0.0, Real(0.0, 0.5)),
        (Real(0.1, 0.5, log=True), 0.01, Real(0.01, 0.5, log=True)),
        (Real(0.1, 0.5, log=True), 0.0, Real(0.1, 0.5, log=True)),
        (Whole(2, 8), 9, Whole(2, 9)),
        (Whole(2, 8, log=True), 0, Whole(2, 8, log=True)),
        (OneOf((1, 2)), 2, OneOf((1, 2))),
        (OneOf((1, 2)), 3, OneOf((1, 2, 3))),
    ],
)
def test_a_knob_widens_to_the_value_that_the_settings_have(knob, value, widened):
    assert knob.with_value(value) == widened


def test_a_range_holds_its_ends_and_no_more():
    assert Real(0.1, 0.5).holds(0.1)
    assert Real(0.1, 0.5).holds(0.5)
    assert not Real(0.1, 0.5).holds(0.51)
    assert not Whole(2, 8).holds(1)
    assert not OneOf(("mean", "max")).holds("min")


def test_a_space_has_full_names_and_reaches_to_the_own_settings():
    settings = build_settings({"algorithm": "mf", "models": {"mf": {"learning_rate": 0.5}}})
    space = search_space(settings, "mf")
    assert list(space) == [f"models.mf.{name}" for name in ("embedding_dim", "learning_rate", "batch_size", "l2")]
    assert space["models.mf.learning_rate"] == Real(3e-4, 0.5, log=True)


def test_only_some_fields_by_short_or_full_name():
    assert list(search_space(Settings(), "mf", ("l2",))) == ["models.mf.l2"]
    assert list(search_space(Settings(), "mf", ("models.mf.l2",))) == ["models.mf.l2"]
    assert list(search_space(Settings(), "m2grl", ("model.window",))) == ["model.window"]


def test_a_field_that_no_table_has_is_refused():
    with pytest.raises(ConfigError, match=r"there is nothing to try for 'dropout' of mf; there is embedding"):
        search_space(Settings(), "mf", ("l2", "dropout"))
