import numpy as np
import pytest

from prismrec.data.prepared import PreparedData
from prismrec.data.sequences import Sequences
from prismrec.data.vocabulary import Vocabulary
from prismrec.errors import ConfigError
from prismrec.models.baselines.ease import Ease, EaseConfig

N_ITEMS = 9


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(5)
    rows = Sequences.from_lists([rng.integers(0, N_ITEMS - 1, rng.integers(1, 7)) for _ in range(60)])
    items = Vocabulary.from_ids(list(range(N_ITEMS)), np.bincount(rows.values, minlength=N_ITEMS))
    return PreparedData(items, rows, Vocabulary.from_ids(list(range(60))), rows)


def paper_weights(data, regularisation):
    """Equation 8, as it is written."""
    matrix = np.zeros((len(data.histories), N_ITEMS))
    for user, row in enumerate(data.histories):
        matrix[user, row] = 1
    inverse = np.linalg.inv(matrix.T @ matrix + regularisation * np.eye(N_ITEMS))
    weights = -inverse / np.diag(inverse)[None, :]
    np.fill_diagonal(weights, 0)
    return weights


def single_item_scores(data, **settings):
    model = Ease(EaseConfig(**settings)).fit(data)
    return model.score(Sequences.from_lists([[i] for i in range(N_ITEMS)]))


@pytest.mark.parametrize(("precision", "tolerance"), [("float64", 1e-6), ("float32", 1e-4)])
@pytest.mark.parametrize("regularisation", [0.5, 20.0])
def test_weights_are_those_of_the_paper(data, precision, tolerance, regularisation):
    scores = single_item_scores(data, regularisation=regularisation, precision=precision)
    np.testing.assert_allclose(scores, paper_weights(data, regularisation), atol=tolerance)


def test_weights_solve_the_regression_they_stand_for(data):
    # each column of B minimises |x_j - X b|^2 + lambda |b|^2 with b_j = 0: solve it as a ridge regression
    weights = single_item_scores(data, regularisation=3.0)
    matrix = np.zeros((60, N_ITEMS))
    for user, row in enumerate(data.histories):
        matrix[user, row] = 1
    others = [i for i in range(N_ITEMS) if i != 2]
    rest = matrix[:, others]
    ridge = np.linalg.solve(rest.T @ rest + 3.0 * np.eye(len(others)), rest.T @ matrix[:, 2])
    np.testing.assert_allclose(weights[others, 2], ridge, atol=1e-6)


def test_a_history_adds_the_weights_of_its_items(data):
    weights = paper_weights(data, 5.0)
    model = Ease(EaseConfig(regularisation=5.0, recency_decay=0.5)).fit(data)
    scores = model.score(Sequences.from_lists([[3, 1]]))
    np.testing.assert_allclose(scores[0], 0.5 * weights[3] + weights[1], atol=1e-6)


def test_max_items_fits_the_most_popular_alone_and_leaves_the_others_at_zero(data):
    popular = np.sort(np.argsort(-data.items.counts, kind="stable")[:4])
    scores = single_item_scores(data, regularisation=2.0, max_items=4)
    outside = np.setdiff1d(np.arange(N_ITEMS), popular)
    assert (scores[outside] == 0).all()
    assert (scores[:, outside] == 0).all()
    lists = [[int(np.flatnonzero(popular == i)[0]) for i in row if i in popular] for row in data.histories.to_lists()]
    rows = Sequences.from_lists(lists)
    small = PreparedData(Vocabulary.from_ids(list(range(4)), [4, 3, 2, 1]), rows, data.users, rows)
    model = Ease(EaseConfig(regularisation=2.0)).fit(small)
    alone = model.score(Sequences.from_lists([[i] for i in range(4)]))
    np.testing.assert_allclose(scores[np.ix_(popular, popular)], alone, atol=1e-6)


def test_a_catalogue_beyond_the_memory_limit_is_refused_with_what_would_fit(data):
    # 9 items in float64: 9 * 9 * (8 + 4) bytes = 972; 500 bytes hold 6 items
    with pytest.raises(
        ConfigError, match=r"EASE over 9 items needs .* GB, the limit is 5e-07 GB; set max_items to at most 6"
    ):
        Ease(EaseConfig(memory_limit_gb=5e-7)).fit(data)
    Ease(EaseConfig(memory_limit_gb=5e-7, max_items=6)).fit(data)


def test_a_matrix_that_cannot_be_inverted_is_named():
    rows = Sequences.from_lists([[0, 1]] * 50)  # two equal columns, and next to no regularisation
    data = PreparedData(Vocabulary.from_ids([0, 1], [50, 50]), rows, Vocabulary.from_ids(list(range(50))), rows)
    with pytest.raises(ConfigError, match="could not invert its matrix with regularisation 1e-12 in float32"):
        Ease(EaseConfig(regularisation=1e-12, precision="float32")).fit(data)
