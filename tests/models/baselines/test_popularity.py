import numpy as np

from prismrec.data.prepared import PreparedData
from prismrec.data.sequences import Sequences
from prismrec.data.vocabulary import Vocabulary
from prismrec.models.baselines.popularity import Popularity, PopularityConfig


def fitted(**settings):
    rows = Sequences.from_lists([[0]])
    items = Vocabulary.from_ids(["a", "b", "c", "d"], [2, 9, 0, 5])
    return Popularity(PopularityConfig(**settings)).fit(PreparedData(items, rows, Vocabulary.from_ids([1]), rows))


def test_everybody_gets_the_most_clicked_items():
    scores = fitted().score(Sequences.from_lists([[0], [3, 1], []]))
    assert np.argsort(-scores, axis=1).tolist() == [[1, 3, 0, 2]] * 3


def test_the_repeat_bonus_puts_own_items_on_top():
    scores = fitted(repeat_weight=100.0).score(Sequences.from_lists([[2, 0]]))
    assert np.argsort(-scores[0]).tolist() == [0, 2, 1, 3]
