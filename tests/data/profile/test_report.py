"""A profile as JSON: everything in it, nothing invented, no type that JSON lacks slips through as something else."""

import dataclasses
import datetime
import json
import uuid

import pytest

from prismrec.data.profile import profile
from prismrec.data.profile.report import Profile

ROWS = [("a", 1, 0), ("a", 2, 60), ("b", 1, 9000), ("b", 1, 9001)]


@pytest.fixture
def small(make_log):
    return profile(make_log(ROWS))


def test_json_holds_every_field(small):
    found = json.loads(small.to_json())
    assert list(found) == [field.name for field in dataclasses.fields(Profile)]
    assert found["counts"]["n_interactions"] == 4
    assert found["top_items"][0] == {"id": 1, "count": 3, "share": 0.75, "name": None}
    assert found["gaps"]["bins"][-1]["high"] is None


def test_uuids_and_dates_become_text(small):
    key = uuid.uuid4()
    entry = dataclasses.replace(small.top_users[0], id=key, name="ø")
    text = dataclasses.replace(small, top_users=(entry,)).to_json()
    assert json.loads(text)["top_users"][0]["id"] == str(key)
    assert "ø" in text
    dated = dataclasses.replace(entry, id=datetime.date(2017, 1, 2))
    assert json.loads(dataclasses.replace(small, top_users=(dated,)).to_json())["top_users"][0]["id"] == "2017-01-02"


def test_large_integers_keep_every_digit(small):
    entry = dataclasses.replace(small.top_users[0], id=9_007_199_254_740_993)
    assert "9007199254740993" in dataclasses.replace(small, top_users=(entry,)).to_json()


def test_a_value_without_a_json_form_is_an_error(small):
    entry = dataclasses.replace(small.top_users[0], id={1, 2})
    with pytest.raises(TypeError, match=r"a profile cannot hold \{1, 2\} of type set"):
        dataclasses.replace(small, top_users=(entry,)).to_json()


def test_numbers_that_are_not_finite_are_an_error(small):
    entry = dataclasses.replace(small.top_users[0], share=float("nan"))
    with pytest.raises(ValueError, match="not JSON compliant"):
        dataclasses.replace(small, top_users=(entry,)).to_json()
