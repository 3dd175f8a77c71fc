"""Settings: what a user misspells or mistypes comes back with its place and the nearest right word."""

from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, ValidationError

from prismrec.config import Section, apply_overrides, build, read_toml
from prismrec.errors import ConfigError


class Training(Section):
    epochs: int = Field(default=5, ge=1)
    learning_rate: float = 0.05
    device: Literal["cpu", "cuda"] = "cpu"


class Run(Section):
    name: str
    training: Training = Training()
    warm_start: Training | None = None
    view_weights: dict[str, float] = Field(default={})


def test_values_and_defaults_are_joined():
    run = build(Run, {"name": "a", "training": {"epochs": 9}})
    assert run == Run(name="a", training=Training(epochs=9, learning_rate=0.05))


def test_a_misspelt_key_names_the_nearest_with_its_path():
    with pytest.raises(ConfigError, match=r"run.toml: unknown key 'training.epoch'; did you mean 'epochs'\?"):
        build(Run, {"name": "a", "training": {"epoch": 9}}, "run.toml")
    with pytest.raises(ConfigError, match="unknown key 'trainin'; did you mean 'training'"):
        build(Run, {"name": "a", "trainin": {}})
    with pytest.raises(ConfigError, match=r"'warm_start.learning_rat'; did you mean 'learning_rate'"):
        build(Run, {"name": "a", "warm_start": {"learning_rat": 1}})


def test_a_key_like_no_other_lists_the_valid_ones():
    with pytest.raises(ConfigError, match=r"unknown key 'training.zzz'; valid keys are device, epochs, learning_rate"):
        build(Run, {"name": "a", "training": {"zzz": 1}})


def test_every_problem_is_named_at_once():
    with pytest.raises(ConfigError) as caught:
        build(Run, {"training": {"epochs": 0, "device": "tpu", "learning_rate": "fast"}, "nam": "a"})
    message = str(caught.value)
    assert "'name' is required" in message
    assert "'training.epochs': Input should be greater than or equal to 1 (got 0)" in message
    assert "'training.device': Input should be 'cpu' or 'cuda' (got 'tpu')" in message
    assert "'training.learning_rate'" in message
    assert "(got 'fast')" in message
    assert "unknown key 'nam'; did you mean 'name'?" in message


def test_values_of_a_free_table_are_checked_too():
    with pytest.raises(ConfigError, match=r"'view_weights.shop'.*got 'low'"):
        build(Run, {"name": "a", "view_weights": {"shop": "low"}})


def test_settings_are_frozen_and_defaults_are_checked():
    with pytest.raises(ValidationError, match="frozen"):
        Training().epochs = 3  # type: ignore[misc]

    class Broken(Section):
        epochs: int = Field(default=0, ge=1)

    with pytest.raises(ConfigError, match="'epochs'"):
        build(Broken, {})


def test_white_space_in_text_is_kept():
    assert build(Run, {"name": " a "}).name == " a "


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("training.epochs=9", {"training": {"epochs": 9, "device": "cpu"}}),
        ("training.epochs = 9", {"training": {"epochs": 9, "device": "cpu"}}),
        ("training.device=cuda", {"training": {"epochs": 1, "device": "cuda"}}),
        ('training.device="cuda"', {"training": {"epochs": 1, "device": "cuda"}}),
        ("training.lr=1e-3", {"training": {"epochs": 1, "device": "cpu", "lr": 0.001}}),
        ("a.b.c=[1, 2]", {"training": {"epochs": 1, "device": "cpu"}, "a": {"b": {"c": [1, 2]}}}),
        ("flag=true", {"training": {"epochs": 1, "device": "cpu"}, "flag": True}),
        ("path=a=b.csv", {"training": {"epochs": 1, "device": "cpu"}, "path": "a=b.csv"}),
        ("empty=", {"training": {"epochs": 1, "device": "cpu"}, "empty": ""}),
        ("w={item = 1.0}", {"training": {"epochs": 1, "device": "cpu"}, "w": {"item": 1.0}}),
    ],
)
def test_override_sets_one_value(override, expected):
    assert apply_overrides({"training": {"epochs": 1, "device": "cpu"}}, [override]) == expected


def test_later_overrides_win_and_the_input_stays():
    values = {"training": {"epochs": 1}}
    assert apply_overrides(values, ["training.epochs=2", "training.epochs=3"]) == {"training": {"epochs": 3}}
    assert values == {"training": {"epochs": 1}}


@pytest.mark.parametrize("override", ["epochs", "=3", " = 3"])
def test_an_override_without_key_or_value_is_refused(override):
    with pytest.raises(ConfigError, match=r"--set expects section.key=value, got"):
        apply_overrides({}, [override])


def test_an_override_into_a_value_is_refused():
    with pytest.raises(ConfigError, match=r"'epochs' is a value, not a section"):
        apply_overrides({"training": {"epochs": 1}}, ["training.epochs.max=3"])


@given(st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False) | st.booleans())
def test_any_toml_value_comes_through_an_override(value):
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    assert apply_overrides({}, [f"a.b={text}"]) == {"a": {"b": value}}


def test_toml_is_read(tmp_path):
    (tmp_path / "run.toml").write_text('name = "größe"\n[training]\nepochs = 3\n', encoding="utf-8")
    assert read_toml(tmp_path / "run.toml") == {"name": "größe", "training": {"epochs": 3}}


def test_unreadable_settings_name_the_file(tmp_path):
    with pytest.raises(ConfigError, match=r"cannot read the settings file .*none.toml: No such file"):
        read_toml(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("epochs == 3")
    with pytest.raises(ConfigError, match=r"bad.toml is not valid TOML: .*line 1"):
        read_toml(tmp_path / "bad.toml")
    (tmp_path / "latin.toml").write_bytes('name = "größe"'.encode("latin-1"))
    with pytest.raises(ConfigError, match=r"latin.toml is not valid TOML: .*utf-8"):
        read_toml(tmp_path / "latin.toml")
