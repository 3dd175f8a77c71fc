"""What held-out clicks say of a model: ranks where they are to be found, the AUC where they are to be told apart."""

import numpy as np
import pyarrow as pa
import pytest

from prismrec.data.prepared import PreparedData
from prismrec.data.sequences import Sequences
from prismrec.data.vocabulary import Vocabulary
from prismrec.evaluation.clicks import ClickQueries
from prismrec.evaluation.queries import Queries
from prismrec.fitting.fitted import FittedEncoder
from prismrec.fitting.query import tune_query
from prismrec.fitting.validation import validation_score
from prismrec.models.contract import EmbeddingTable
from prismrec.retrieval.blend import QuerySettings
from prismrec.training.log import TrainingLog

N_ITEMS = 4
HISTORIES = Sequences.from_lists([[0], [1]])
DATA = PreparedData(
    Vocabulary.from_ids(list(range(N_ITEMS)), [4, 3, 2, 1]), HISTORIES, Vocabulary.from_ids(["a", "b"]), HISTORIES
)
PAIRS = ClickQueries(
    HISTORIES,
    np.arange(2),
    Sequences.from_lists([[2, 3], [3, 2]]),
    np.array([True, False, False, True]),
    pa.array(["a", "b"]),
)


class Fixed:
    """Scores each item by its index."""

    def score(self, histories):
        return np.tile(np.arange(N_ITEMS, dtype=np.float32), (len(histories), 1))


def test_held_out_clicks_are_scored_by_their_ranks():
    queries = Queries(HISTORIES, Sequences.from_lists([[3], [2]]), pa.array(["a", "b"]), exclude_seen=True)
    assert validation_score(Fixed(), queries, DATA) == pytest.approx((50 / 50 + 50 / 51) / 2)


def test_pairs_are_scored_by_the_pooled_auc():
    assert validation_score(Fixed(), PAIRS, DATA) == 0.0  # clicks are item 2, negatives item 3


class Own:
    """An encoder whose model prefers item 2 whatever products say, and counts how often it is asked."""

    def __init__(self):
        self.scored = 0

    def encode(self, histories, users):
        return np.ones((len(histories), 1), np.float32)

    def score_candidates(self, histories, users, candidates):
        self.scored += 1
        return (candidates == 2).astype(np.float32)


class Model:
    """A trained model that is its encoder."""

    def __init__(self, encoder):
        self.own = encoder

    def encoder(self):
        return self.own

    def table(self):
        return EmbeddingTable(np.ones((N_ITEMS, 1), np.float32), np.arange(N_ITEMS, dtype=np.float32)[:, None])


def test_tuning_a_query_asks_the_model_itself_and_each_candidate_once():
    encoder = Own()
    fitted = FittedEncoder(Model(encoder), DATA, TrainingLog())  # type: ignore[arg-type]
    tuned = tune_query(fitted, PAIRS, QuerySettings(popularity_weight=0.0))
    assert tuned.score == 1.0
    assert tuned.n_tried > 1
    assert encoder.scored == 1
