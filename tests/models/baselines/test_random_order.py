import numpy as np

from prismrec.data.prepared import PreparedData
from prismrec.data.sequences import Sequences
from prismrec.data.vocabulary import Vocabulary
from prismrec.models.baselines.random_order import RandomOrder, RandomOrderConfig


def scores(histories, seed=1, n_items=200):
    rows = Sequences.from_lists([[0]])
    data = PreparedData(Vocabulary.from_ids(list(range(n_items))), rows, Vocabulary.from_ids([1]), rows)
    return RandomOrder(RandomOrderConfig(seed=seed)).fit(data).score(Sequences.from_lists(histories))


def test_every_item_is_among_the_first_ten_as_often_as_chance_says():
    top = np.argsort(-scores([[i, j] for i in range(40) for j in range(50)]), axis=1)[:, :10]
    hits = np.bincount(top.ravel(), minlength=200)
    assert abs(hits.mean() - 2000 * 10 / 200) < 1e-9
    assert hits.std() < 1.3 * np.sqrt(2000 * 0.05 * 0.95)


def test_another_history_or_seed_gets_another_order():
    first, second, empty = scores([[1, 2], [2, 1], []])
    assert (first != second).any()
    assert (first != empty).any()
    assert (first != scores([[1, 2]], seed=2)[0]).any()
