"""Columns that folder names spell."""

from pathlib import Path

import pytest

from prismrec.data.engines.folder_columns import folder_columns


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (["day=1/a.parquet", "day=2/b.parquet"], {"day": ["1", "2"]}),
        (["day=1/hour=x/a", "hour=y/day=2/b"], {"day": ["1", "2"], "hour": ["x", "y"]}),
        (["logs/day=a%20b=c/a"], {"day": ["a b=c"]}),
        (["day=__HIVE_DEFAULT_PARTITION__/a", "day=/b"], {"day": [None, ""]}),
        (["day=1/a", "b"], {}),
        (["day=1/a", "hour=1/b"], {}),
        (["a=b.parquet", "=x/c"], {}),
        ([], {}),
    ],
)
def test_columns_are_those_that_all_files_have(paths, expected):
    assert folder_columns([Path(path) for path in paths]) == expected
