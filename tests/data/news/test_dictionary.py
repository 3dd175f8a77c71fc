"""Names in titles: every occurrence, found as a search for each name alone would find it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prismrec.data.news.dictionary import NameTrie, Occurrence
from prismrec.errors import DataError

WORDS = st.sampled_from("abc")
NAMES = st.lists(st.lists(WORDS, min_size=1, max_size=4).map(tuple), unique=True, max_size=8)


def by_looking_everywhere(names, title):
    return {
        Occurrence(begin, begin + len(name), number)
        for number, name in enumerate(names)
        for begin in range(len(title) - len(name) + 1)
        if tuple(title[begin : begin + len(name)]) == name
    }


@given(NAMES, st.lists(WORDS, max_size=30))
def test_all_occurrences_are_found_and_each_once(names, title):
    found = NameTrie(names).occurrences(title)
    assert set(found) == by_looking_everywhere(names, title)
    assert len(found) == len(set(found))
    assert found == sorted(found, key=lambda o: (o.end, o.begin))


@given(NAMES, st.lists(WORDS, max_size=30))
def test_names_apart_do_not_overlap_and_nothing_that_would_fit_is_left(names, title):
    trie = NameTrie(names)
    chosen = trie.apart(title)
    taken = [place for one in chosen for place in range(one.begin, one.end)]
    assert len(taken) == len(set(taken))
    for one in trie.occurrences(title):
        assert not set(range(one.begin, one.end)).isdisjoint(taken)


def test_the_longest_of_those_that_begin_together_counts():
    trie = NameTrie([("new", "york"), ("new", "york", "times"), ("times",), ("york", "times", "square")])
    assert trie.apart(["the", "new", "york", "times", "square"]) == [Occurrence(1, 4, 1)]
    assert trie.apart(["new", "york", "and", "times"]) == [Occurrence(0, 2, 0), Occurrence(3, 4, 2)]


def test_no_names_find_nothing():
    assert NameTrie([]).occurrences(["a", "b"]) == []


def test_a_search_takes_time_in_line_with_the_title():
    trie = NameTrie([("a",) * 40 + ("b",)])
    steps = []

    class Counting(dict):
        def get(self, *args):
            steps.append(1)
            return super().get(*args)

    trie._next = [Counting(step) for step in trie._next]
    trie.occurrences(["a"] * 2000)
    assert len(steps) == 2000


def test_names_without_words_and_names_that_are_there_twice_are_refused():
    with pytest.raises(DataError, match="name 1 has no word"):
        NameTrie([("a",), ()])
    with pytest.raises(DataError, match="the name 'a b' is there twice"):
        NameTrie([("a", "b"), ("b",), ("a", "b")])
