"""Sessions of items as sessions of nodes: both ways of expanding against plain Python, in any chunking."""

from itertools import groupby

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prismrec.config import build
from prismrec.data import views
from prismrec.data.sequences import Sequences
from prismrec.data.views import ViewSettings, mapped
from prismrec.errors import ConfigError

sessions = st.lists(st.lists(st.integers(0, 4), max_size=8), max_size=6)


def plain(rows, nodes):
    return [[node for node, _ in groupby(node for item in row for node in nodes[item])] for row in rows]


@pytest.mark.parametrize("most", [1, 3])
@settings(max_examples=50)
@given(data=st.data(), rows=sessions, at_once=st.integers(1, 9))
def test_mapping_equals_plain_python(most, data, rows, at_once):
    nodes = data.draw(st.lists(st.lists(st.integers(0, 2), max_size=most), min_size=5, max_size=5))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(views, "_VALUES_AT_ONCE", at_once)
        found = mapped(Sequences.from_lists(rows), Sequences.from_lists(nodes))
    assert found.to_lists() == plain(rows, nodes)


def test_settings_name_the_nearest_key():
    with pytest.raises(ConfigError, match="did you mean 'separator'"):
        build(ViewSettings, {"column": "genres", "seperator": "|"})
    with pytest.raises(ConfigError, match="'column' is required"):
        build(ViewSettings, {})
