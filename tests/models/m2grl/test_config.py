"""Settings of M2GRL that contradict themselves are refused before any data are read."""

import math

import pytest
from pydantic import ValidationError

from prismrec.config import build
from prismrec.errors import ConfigError
from prismrec.models.m2grl.config import M2GRLConfig


def test_defaults_are_consistent_and_frozen():
    config = M2GRLConfig()
    assert (config.context, config.task_weights, config.alignment) == ("forward", "uncertainty", True)
    with pytest.raises(ValidationError, match="frozen"):
        setattr(config, "window", 3)  # noqa: B010


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"hard_negatives": 0.5}, "hard_negatives needs hard_view, the view whose nodes group the items"),
        ({"task_weights": "fixed"}, "fixed_weights go with task_weights = fixed, and only with it"),
        ({"fixed_weights": {"item": 1.0}}, "fixed_weights go with task_weights = fixed, and only with it"),
        ({"task_weights": "fixed", "fixed_weights": {"item": -1.0}}, "must be finite and not negative"),
        ({"task_weights": "fixed", "fixed_weights": {"item": math.inf}}, "must be finite and not negative"),
        ({"task_weights": "fixed", "fixed_weights": {"item": math.nan}}, "must be finite and not negative"),
        ({"window": 0}, "'window': .*greater than or equal to 1"),
        ({"negatives": 0}, "'negatives': .*greater than or equal to 1"),
        ({"embedding_dim": 1}, "'embedding_dim': .*greater than or equal to 2"),
        ({"negative_power": math.nan}, "'negative_power': "),
        ({"hard_negatives": 1.5, "hard_view": "category"}, "'hard_negatives': .*less than or equal to 1"),
        ({"context": "backward"}, "'context': .*'forward' or 'symmetric'"),
        ({"embeding_dim": 8}, "unknown key 'embeding_dim'; did you mean 'embedding_dim'"),
    ],
)
def test_settings_that_cannot_be_are_refused_and_say_why(values, message):
    with pytest.raises(ConfigError, match=message):
        build(M2GRLConfig, values)


def test_settings_that_belong_together_pass():
    config = build(
        M2GRLConfig,
        {"hard_negatives": 0.5, "hard_view": "category", "task_weights": "fixed", "fixed_weights": {"item": 0.0}},
    )
    assert config.hard_view == "category"
    assert config.fixed_weights == {"item": 0.0}


def test_every_setting_is_explained():
    assert all(field.description for field in M2GRLConfig.model_fields.values())
    assert len(M2GRLConfig.model_fields) <= 12
