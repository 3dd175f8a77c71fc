"""Items by the beginnings of the words of their names: against a slow definition, in order, quickly."""

import time
import uuid

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prismrec.data.vocabulary import Vocabulary
from prismrec.serving.page.search import ItemSearch, folded, folded_text, id_texts

NAMES = [
    "Crème fraîche, 200 ml",
    "Milk chocolate",
    "Fluid milk",
    "Milk",
    None,
    "Smørrebrød",
    "商品 牛乳",
    "STRASSE milkshake",
]
COUNTS = [5, 40, 90, 1, 7, 3, 2, 60]


def search_of(names=NAMES, counts=COUNTS, ids=None) -> ItemSearch:
    vocabulary = Vocabulary.from_ids([f"SKU-{i:03d}" for i in range(len(names))] if ids is None else ids, counts)
    return ItemSearch.of(pa.array(names, pa.string()), vocabulary)


def found(search: ItemSearch, query: str, limit: int = 10, hidden=()) -> list[int]:
    return [hit.item_index for hit in search.find(query, limit, hidden)]


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("Crème  FRAÎCHE, 200-ml", "creme fraiche 200 ml"),
        ("Smørrebrød", "smorrebrod"),
        ("Œuf, Straße, Łódź, ﬁne", "oeuf strasse lodz fine"),
        ("ÅNGSTRÖM", "angstrom"),
        ("<b>&amp;", "b amp"),
        ("  ", ""),
    ],
)
def test_folding_takes_case_accents_and_punctuation_away(text, plain):
    assert folded(pa.array([text, None])).to_pylist() == [plain, ""]
    assert folded_text(text) == plain


def test_half_a_character_is_searched_without_failing():
    assert found(search_of(), "milk \ud800") == found(search_of(), "milk ?")


@pytest.mark.parametrize("query", ["creme", "CRÈME", "crème fr", "fraiche creme", "200 ml cr"])
def test_words_are_found_whatever_their_case_accents_and_order(query):
    assert found(search_of(), query) == [0]


def test_whole_name_comes_before_whole_words_before_beginnings_each_by_clicks():
    assert found(search_of(), "milk") == [3, 2, 1, 7]


def test_equal_clicks_are_in_the_order_of_the_index():
    assert found(search_of(["tea b", "tea a", "tea c"], [4, 4, 9]), "tea") == [2, 0, 1]


def test_exact_id_comes_first_and_its_beginning_finds_it_too():
    search = search_of(["apple", "pear", "12", None], [9, 8, 7, 6], ids=[120, 45, 7, 12])
    assert found(search, "12") == [3, 2, 0]
    assert found(search, "4") == [1]


def test_text_ids_are_found_by_their_parts():
    assert found(search_of(), "sku 003") == [3]
    assert found(search_of(), "SKU-003") == [3]


def test_uuids_are_found_as_they_are_written():
    one = uuid.UUID("12345678-1234-5678-1234-567812345678")
    search = search_of(["lamp", "chair"], [1, 1], ids=[one, uuid.UUID(int=5)])
    assert found(search, str(one)) == [0]
    assert found(search, "12345678-1234") == [0]
    assert id_texts(search.vocabulary.ids).to_pylist()[0] == str(one)


def test_inside_of_names_is_searched_where_no_word_begins_so():
    assert found(search_of(), "shake") == [7]
    assert found(search_of(), "乳") == [6]
    assert found(search_of(["an", "banana", "ananas"], [1, 2, 3]), "ana") == [2], (
        "beginnings alone, while there are any"
    )
    assert found(search_of(["banana", "bandana", "cabana"], [1, 5, 3]), "ana", limit=2) == [1, 2]


def test_nothing_is_found_for_what_nobody_is_called():
    assert found(search_of(), "zzzz") == []


def test_query_without_letters_gives_the_most_clicked():
    assert found(search_of(), " -- ", limit=3) == [2, 7, 1]
    assert found(search_of(), "", limit=2, hidden={2}) == [7, 1]


def test_hidden_items_are_not_found_by_word_id_or_inside():
    assert found(search_of(), "milk", hidden={3, 1}) == [2, 7]
    assert found(search_of(), "SKU-003", hidden={3}) == []
    assert found(search_of(), "shake", hidden={7}) == []


def test_hits_tell_clicks_and_rank_between_indices():
    [first, second, *_] = search_of().find("milk", 10)
    assert (first.n_clicks, second.n_clicks) == (1, 90)
    assert first.quality > second.quality


def test_empty_catalogue_answers():
    assert search_of([], [], ids=pa.array([], pa.string())).find("milk", 5) == []
    assert search_of([], [], ids=pa.array([], pa.string())).find("", 5) == []


words = st.sampled_from(["ab", "abc", "b", "ba", "c ab", "Äb", "ab-c", "abc ab", ""])


@given(names=st.lists(words, min_size=1, max_size=12), query=st.sampled_from(["a", "ab", "b", "c a", "abc", "ab ab"]),
       limit=st.integers(1, 12), data=st.data())  # fmt: skip
def test_words_are_found_as_by_the_plain_definition(names, query, limit, data):
    counts = data.draw(st.lists(st.integers(0, 3), min_size=len(names), max_size=len(names)))
    ids = [f"x{i}" for i in range(len(names))]

    def quality(name: str) -> int:
        own, asked = folded_text(name).split(), query.split()
        if folded_text(name) == query:
            return 3
        if all(word in own for word in asked):
            return 2
        return 1 if all(any(mine.startswith(word) for mine in own) for word in asked) else 0

    rated = [(quality(name), counts[i], -i) for i, name in enumerate(names)]
    expected = [-i for q, _, i in sorted(rated, reverse=True) if q]
    if expected:
        assert found(search_of(names, counts, ids), query, limit) == expected[:limit]


def test_two_hundred_thousand_items_answer_within_twenty_milliseconds():
    rng = np.random.default_rng(0)
    vocabulary = Vocabulary.from_ids([f"SKU-{i:06d}" for i in range(200_000)], np.arange(200_000, 0, -1))
    stock = np.array(["milk", "white", "organic", "bread", "tea", "large", "12 oz", "salad", "green", "jasmine"])
    names = [" ".join(row) for row in stock[rng.integers(0, len(stock), (200_000, 4))]]
    search = ItemSearch.of(pa.array(names), vocabulary)
    for query in ("m", "milk", "jasmine green te", "sku-0001", "asmin", "zzz"):
        seconds = []
        for _ in range(7):
            begun = time.perf_counter()
            search.find(query, 12)
            seconds.append(time.perf_counter() - begun)
        assert min(seconds) < 0.02, f"{query!r} took {min(seconds):.3f} s"
