"""Which ends complete a triple: by side, relation and known end."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from prismrec.graphs.triple_answers import SIDES, Answers, known_and_asked

TRIPLES = np.array([[0, 0, 1], [0, 0, 2], [1, 0, 2], [2, 1, 0], [0, 0, 1]], np.int32)


def lists(answers, known, relations):
    return answers.to(np.array(known), np.array(relations)).to_lists()


def test_tails_of_a_head_and_a_relation():
    assert lists(Answers.of(TRIPLES, "tail", 2), [0, 1, 2, 2], [0, 0, 1, 0]) == [[1, 2], [2], [0], []]


def test_heads_of_a_tail_and_a_relation():
    assert lists(Answers.of(TRIPLES, "head", 2), [2, 0, 1], [0, 1, 1]) == [[0, 1], [2], []]


def test_ends_of_a_relation_are_its_range_and_its_domain():
    assert Answers.of(TRIPLES, "tail", 3).ends_of_relations().to_lists() == [[1, 2], [0], []]
    assert Answers.of(TRIPLES, "head", 3).ends_of_relations().to_lists() == [[0, 1], [2], []]


def test_without_triples_nothing_is_an_answer():
    none = Answers.of(np.zeros((0, 3), np.int32), "tail", 2)
    assert lists(none, [0, 5], [0, 1]) == [[], []]
    assert none.ends_of_relations().to_lists() == [[], []]


def test_known_and_asked_ends_are_the_two_ends():
    assert {known_and_asked(side) for side in SIDES} == {(0, 2), (2, 0)}


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 2), st.integers(0, 4)), min_size=1, max_size=30))
def test_answers_are_what_a_loop_over_the_triples_finds(rows):
    triples = np.array(rows, np.int32)
    for side in SIDES:
        known, asked = known_and_asked(side)
        answers = Answers.of(triples, side, 3)
        for end in range(5):
            for relation in range(3):
                slow = sorted({row[asked] for row in rows if row[known] == end and row[1] == relation})
                assert lists(answers, [end], [relation]) == [slow]
