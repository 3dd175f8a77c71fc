"""Entities of titles: two ways to write them down, and which words they are."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prismrec.data.news.mentions import (
    Mention,
    entities_of_words,
    read_mentions,
    read_mind_mentions,
    write_mentions,
)
from prismrec.errors import DataError


def test_mentions_are_pairs_of_id_and_name():
    assert read_mentions("9048:Donald Trump;4465: Blake Lively ;") == (
        Mention("9048", "Donald Trump"),
        Mention("4465", "Blake Lively"),
    )
    assert read_mentions("7:Star Wars: Episode IV") == (Mention("7", "Star Wars: Episode IV"),)


@pytest.mark.parametrize("text", ["", None, ";", " ; "])
def test_no_text_is_no_mention(text):
    assert read_mentions(text) == ()


@pytest.mark.parametrize("text", ["Donald Trump", "1:a;b", ":a", "1:"])
def test_a_part_without_id_or_name_is_an_error_that_shows_it(text):
    with pytest.raises(DataError, match=r"expected the entities of a title as id:name;id:name, got "):
        read_mentions(text)


_PLAIN = st.text(st.characters(codec="utf-8", exclude_characters=":;"), min_size=1).filter(lambda t: t.strip() == t)


@given(st.lists(st.tuples(_PLAIN, _PLAIN)))
def test_what_is_written_is_read_again(pairs):
    mentions = tuple(Mention(*pair) for pair in pairs)
    assert read_mentions(write_mentions(mentions)) == mentions


def test_a_semicolon_in_a_name_becomes_a_comma():
    assert write_mentions([Mention("1", "a;b"), Mention("2", "c")]) == "1:a,b;2:c"


def test_mind_has_a_list_of_objects():
    text = json.dumps([
        {"Label": "Philip", "WikidataId": "Q80976", "SurfaceForms": ["Prince Philip", "Philip"]},
        {"WikidataId": "Q9682", "SurfaceForms": ["Queen"]},
    ])  # fmt: skip
    assert read_mind_mentions(text) == (Mention("Q80976", "Prince Philip"), Mention("Q9682", "Queen"))
    assert read_mind_mentions("[]") == read_mind_mentions("") == read_mind_mentions(None) == ()


@pytest.mark.parametrize(
    "text", ["[", "3", '["a"]', '[{"SurfaceForms": ["a"]}]', '[{"WikidataId": "Q1", "SurfaceForms": []}]']
)
def test_what_is_no_list_of_mind_is_an_error(text):
    with pytest.raises(DataError, match="expected a JSON list of entities with WikidataId and SurfaceForms, got"):
        read_mind_mentions(text)


def test_words_are_of_the_entity_in_whose_name_they_are():
    title = ["donald", "trump", "meets", "theresa", "may", "in", "may"]
    mentions = [Mention("1", "Donald Trump"), Mention("2", "Theresa May")]
    assert entities_of_words(title, mentions) == [0, 0, -1, 1, 1, -1, 1]
    assert entities_of_words([], mentions) == []
    assert entities_of_words(title, []) == [-1] * 7


def test_a_word_of_two_names_is_of_the_one_that_the_title_has_more_of():
    mentions = [Mention("1", "Donald Trump"), Mention("2", "The Trump Tower"), Mention("3", "Trump Tower")]
    assert entities_of_words(["trump", "tower"], mentions) == [1, 1]
    assert entities_of_words(["the", "trump"], mentions[:1] + mentions[2:]) == [-1, 0]
