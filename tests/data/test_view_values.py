"""What one value of a column stands for; the same on the engine is held in test_views.py."""

import subprocess
import sys
import uuid

import pytest

from prismrec.data.view_values import ViewSettings, node_values
from prismrec.errors import DataError

UUID = uuid.UUID(int=7)


@pytest.mark.parametrize(
    ("settings", "value", "nodes"),
    [
        ({}, "tea", ("tea",)),
        ({}, 7, (7,)),
        ({}, UUID, (UUID,)),
        ({}, None, ()),
        ({}, "", ()),
        ({}, ["tea", None, "milk", "tea", ""], ("tea", "milk")),
        ({"separator": "|"}, "Drama| Crime||Drama", ("Drama", "Crime")),
        ({"separator": "|"}, 7, (7,)),
        ({"prefix": 3}, ["22423", "22457", "8"], ("224", "8")),
        ({"separator": ",", "prefix": 1}, "ab, ac, b", ("a", "b")),
    ],
)
def test_a_value_stands_for_its_distinct_nodes_in_their_order(settings, value, nodes):
    assert node_values(ViewSettings(column="c", **settings), value) == nodes


@pytest.mark.parametrize("value", [1.5, True, [["tea"]], {"tea": 1}])
def test_values_that_cannot_be_ids_are_refused(value):
    with pytest.raises(DataError, match="column 'c': expected text, integers or lists of them, got"):
        node_values(ViewSettings(column="c"), value)


def test_a_server_starts_without_the_engine():
    program = "import sys, prismrec.serving.http.server; print(sorted({'ibis', 'duckdb', 'torch'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"
