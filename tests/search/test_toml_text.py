"""Settings as TOML text: read back, they are what they were."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prismrec.errors import ConfigError
from prismrec.search.toml_text import toml_text

SCALARS = st.one_of(
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.text(st.characters(exclude_categories=["Cs"])),
)
KEYS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=3)),
    max_leaves=8,
)


@given(st.dictionaries(KEYS, VALUES, max_size=4))
def test_what_is_written_is_read_back_equal(values):
    assert tomllib.loads(toml_text(values)) == values


def test_a_file_reads_as_a_person_would_write_it():
    values = {
        "data": {"interactions": "clicks.parquet", "columns": {"user": "household_id"}},
        "algorithm": "mf",
        "models": {"mf": {"l2": 1e-05, "embedding_dim": 64}},
        "views": {},
        "split": {"ks": [10, 50], "exact": True},
    }
    assert toml_text(values).splitlines() == [
        'algorithm = "mf"', "",
        "[data]", 'interactions = "clicks.parquet"', "",
        "[data.columns]", 'user = "household_id"', "",
        "[models.mf]", "l2 = 1e-05", "embedding_dim = 64", "",
        "[views]", "",
        "[split]", "ks = [10, 50]", "exact = true",
    ]  # fmt: skip


def test_quotes_and_control_characters_are_escaped():
    values = {'a "b"': {"text": 'tab\tline\nquote" backslash\\ delete\x7f'}}
    assert tomllib.loads(toml_text(values)) == values


def test_none_is_refused_with_its_place():
    with pytest.raises(ConfigError, match=r"TOML has nothing for data\.limits\.most = None"):
        toml_text({"data": {"limits": {"most": None}}})
