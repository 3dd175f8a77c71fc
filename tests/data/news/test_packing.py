"""Texts in arrays of numbers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prismrec.data.news.packing import pack, unpack


@given(st.lists(st.text(st.characters(codec="utf-8"))))
def test_packed_texts_come_back(texts):
    arrays = pack("words", texts)
    assert all(array.dtype.kind in "iu" for array in arrays.values())
    assert unpack("words", arrays) == tuple(texts)


def test_damaged_bytes_are_an_error():
    arrays = pack("words", ["ü"])
    arrays["words.text"] = arrays["words.text"][:1]
    with pytest.raises(ValueError, match="utf-8"):
        unpack("words", arrays)
