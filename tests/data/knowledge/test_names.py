"""When two spellings are one name."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prismrec.data.knowledge.names import (
    is_missing,
    key_of,
    most_frequent,
    name_of,
    readable,
    spelled,
    without_annotations,
)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Benjamin_Franklin", "Benjamin Franklin"),
        ("  Tom \t Hanks ", "Tom Hanks"),
        ("Ａｌｉｅｎ", "Alien"),  # full-width letters
        ("Ren\u0065\u0301", "Ren\u00e9"),  # an accent of its own becomes part of the letter
        ("_", ""),
    ],
)
def test_a_name_has_one_form(text, name):
    assert spelled(text) == name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Joss Whedon (screenplay by)", "Joss Whedon"),
        ("Ann Lee (novel (in French)) (story)", "Ann Lee"),
        ("Bo Ek (story", "Bo Ek"),
        ("No Note", "No Note"),
        ("(uncredited)", ""),
    ],
)
def test_annotations_are_no_part_of_a_name(text, name):
    assert without_annotations(text) == name


@pytest.mark.parametrize(
    ("text", "kind", "name"),
    [
        ("George_Lucas (story by)", "person", "George Lucas"),
        ("Paris (Texas)", "place", "Paris (Texas)"),  # another place than Paris
        ("22 Nov 1995", "year", "1995"),
        ("1995-1998", "year", "1995"),
        ("19955", "year", ""),
        ("soon", "year", ""),
        ("???", "person", ""),
        ("C++", "text", "C++"),
    ],
)
def test_what_a_value_names_depends_on_its_kind(text, kind, name):
    assert name_of(text, kind) == name


def test_case_and_full_stops_of_initials_make_no_other_person():
    people = ["J.J. Abrams", "J. J. ABRAMS", "j j abrams", "J._J._Abrams"]
    assert {key_of(name, "person") for name in people} == {"j j abrams"}
    assert key_of("St. Louis", "place") == "st. louis", "only people have initials"


def test_letters_with_accents_are_other_letters():
    assert key_of("René Clair", "person") != key_of("Rene Clair", "person")


@given(st.text(max_size=30))
def test_a_name_is_its_own_name(text):
    assert spelled(spelled(text)) == spelled(text)
    assert key_of(spelled(text), "person") == key_of(text, "person")
    assert unicodedata.is_normalized("NFKC", spelled(text))


@pytest.mark.parametrize("text", ["", "N/A", " nan ", "Unknown", "\\N", "-", "NULL"])
def test_sources_say_in_many_ways_that_they_know_nothing(text):
    assert is_missing(text)


def test_a_name_is_not_missing():
    assert not is_missing("Nana")


@pytest.mark.parametrize(
    ("entity", "label"),
    [
        ("http://dbpedia.org/resource/Tom_Hanks", "Tom Hanks"),
        ("http://example.org/ns#S%C3%A3o_Paulo", "São Paulo"),
        ("http://example.org/", "example.org"),
        ("m.0bxtg", "m.0bxtg"),
        ("body_part", "body part"),
        ("__", "__"),
    ],
)
def test_an_id_is_made_readable(entity, label):
    assert readable(entity) == label


def test_the_most_frequent_spelling_is_the_label_and_ties_are_by_text():
    assert most_frequent([("b", 2), ("a", 2), ("c", 1)]) == "a"
    assert most_frequent([("b", 3), ("a", 2)]) == "b"
