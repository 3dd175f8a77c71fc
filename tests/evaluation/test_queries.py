import uuid

import numpy as np
import pyarrow as pa
import pytest

from prismrec.data.sequences import Sequences
from prismrec.data.splits import HeldOut
from prismrec.data.vocabulary import Vocabulary
from prismrec.errors import DataError
from prismrec.evaluation.queries import Queries, distinct_truths, queries_from, rare


def held_out(histories, truths, users=None, left_out=None):
    users = users or list(range(len(histories)))
    table = {"query": range(len(histories)), "user_id": users, "history": histories, "truth": truths}
    return HeldOut(pa.table(table), left_out or {})


FILMS = Vocabulary.from_ids(["alien", "brazil", "casablanca"])


def test_ids_become_indices_in_order():
    queries = queries_from(held_out([["casablanca", "alien"], ["brazil"]], [["brazil"], ["alien"]]), FILMS, True)
    assert queries.histories.to_lists() == [[2, 0], [1]]
    assert queries.truths.to_lists() == [[1], [0]]
    assert queries.exclude_seen


def test_unknown_history_items_are_dropped_and_counted():
    queries = queries_from(held_out([["dune", "alien", "dune"], ["dune"]], [["brazil"], ["alien"]]), FILMS, False)
    assert queries.histories.to_lists() == [[0], []]
    assert queries.left_out["unknown_history_items"] == 3


def test_an_unknown_target_stays_as_minus_one():
    queries = queries_from(held_out([["alien"]], [["dune", "brazil", "eraserhead"]]), FILMS, False)
    assert queries.truths.to_lists() == [[-1, 1, -1]]


def test_a_target_that_occurs_twice_is_one_target_known_or_not():
    queries = queries_from(held_out([[], []], [["dune", "alien", "dune", "alien"], ["alien"]]), FILMS, False)
    assert queries.truths.to_lists() == [[-1, 0], [0]]


def test_reasons_of_the_split_are_kept():
    left_out = {"users_with_too_few_rows": 4}
    queries = queries_from(held_out([["alien"]], [["brazil"]], left_out=left_out), FILMS, False)
    assert queries.left_out == {"users_with_too_few_rows": 4, "unknown_history_items": 0}


def test_clusters_are_the_users():
    queries = queries_from(held_out([["alien"]] * 3, [["brazil"]] * 3, users=["u", "v", "u"]), FILMS, False)
    assert queries.clusters.to_pylist() == ["u", "v", "u"]


def test_large_integer_ids_of_another_width_match():
    vocabulary = Vocabulary.from_ids([2**62 + 1, 2**62 + 3])
    queries = queries_from(held_out([[2**62 + 3]], [[2**62 + 1]]), vocabulary, False)
    assert queries.histories.to_lists() == [[1]]
    assert queries.truths.to_lists() == [[0]]


def test_uuids_that_an_engine_hands_over_as_text_match():
    ids = [uuid.UUID(int=5), uuid.UUID(int=6)]
    queries = queries_from(held_out([[str(ids[1])]], [[str(ids[0])]]), Vocabulary.from_ids(ids), False)
    assert queries.histories.to_lists() == [[1]]
    assert queries.truths.to_lists() == [[0]]


def test_ids_of_another_type_are_an_error_not_a_table_of_misses():
    with pytest.raises(DataError, match="held-out item ids are int64, those of the vocabulary string"):
        queries_from(held_out([[1]], [[2]]), FILMS, False)


def test_text_that_is_no_uuid_is_an_error():
    with pytest.raises(DataError, match="'alien' is not a UUID"):
        queries_from(held_out([["alien"]], [["alien"]]), Vocabulary.from_ids([uuid.UUID(int=5)]), False)


def test_users_are_those_of_training_and_others_unknown():
    known = Vocabulary.from_ids(["v", "w"])
    queries = queries_from(held_out([["alien"]] * 3, [["brazil"]] * 3, users=["u", "v", "u"]), FILMS, False, known)
    assert queries.users.tolist() == [-1, 0, -1]
    assert queries_from(held_out([["alien"]], [["brazil"]], users=["v"]), FILMS, False).users.tolist() == [-1]


def test_users_of_another_type_are_an_error():
    with pytest.raises(DataError, match="held-out user ids are string, those of the vocabulary int64"):
        queries_from(held_out([["alien"]], [["brazil"]], users=["u"]), FILMS, False, Vocabulary.from_ids([1]))


def test_histories_truths_and_clusters_must_be_as_many():
    one, two = Sequences.from_lists([[0]]), Sequences.from_lists([[0], [1]])
    with pytest.raises(DataError, match="got 1 histories, 2 truths, 2 clusters and 2 users"):
        Queries(one, two, pa.array([1, 2]), False)


def test_distinct_truths_keep_their_order_and_each_unknown_one():
    truths = distinct_truths(Sequences.from_lists([[2, 0, 2, -1, -1], [], [0, 0]]))
    assert truths.to_lists() == [[2, 0, -1, -1], [], [0]]


def test_a_query_is_rare_if_all_its_known_targets_are():
    truths = Sequences.from_lists([[0], [1], [0, 1], [-1], [-1, 1], []])
    queries = Queries(Sequences.from_lists([[]] * 6), truths, pa.array(range(6)), False)
    assert rare(queries, np.array([5, 4]), below=5).tolist() == [False, True, False, False, True, False]
