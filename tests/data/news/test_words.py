"""Titles as words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prismrec.data.news.words import words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Trump's 100 days", ("trump", "100", "days")),
        ("Trump’s don’t", ("trump", "don't")),
        ("U.S.-China (talks)!", ("u", "s", "china", "talks")),
        ("Benjamin_Franklin", ("benjamin", "franklin")),
        ("ﬁlm ＡＢＣ Straße", ("film", "abc", "strasse")),
        ("Чемпионат мира 2018", ("чемпионат", "мира", "2018")),
        ("  ... --- ", ()),
        ("", ()),
        ("it's", ("it",)),
        ("'tis rock 'n' roll", ("tis", "rock", "n", "roll")),
    ],
)
def test_words_are_letters_and_digits_in_one_form(text, expected):
    assert words(text) == expected


@given(st.text())
def test_words_of_words_are_the_same_words(text):
    found = words(text)
    assert words(" ".join(found)) == tuple(word.removesuffix("'s") for word in found)
