"""What every baseline must do, on planted data with one right answer.

Blocks of six items; a user goes round one block from some start and stops before the last item. The right answer is the
item that is left: it is of the same block (item-kNN, EASE) and follows what the user just had (co-occurrence).
"""

import numpy as np
import pytest

from prismrec.data.prepared import PreparedData
from prismrec.data.sequences import Sequences
from prismrec.data.vocabulary import Vocabulary
from prismrec.errors import ConfigError, DataError, NotFittedError
from prismrec.models.baselines import BASELINES, BaselinesConfig, build_baseline

N_BLOCKS, BLOCK = 5, 6
N_ITEMS = N_BLOCKS * BLOCK + 1  # the last item is only in the item table: nobody ever had it


def planted(n_users=300, shift=0):
    """Histories, and the item that each user has left; `shift` moves the blocks to other items."""
    rng = np.random.default_rng(3)
    starts, blocks = rng.integers(0, BLOCK, n_users), rng.integers(0, N_BLOCKS, n_users)
    places = (starts[:, None] + np.arange(BLOCK)) % BLOCK
    items = (blocks[:, None] * BLOCK + places + shift) % (N_BLOCKS * BLOCK)
    histories = Sequences.from_lists(items[:, :-1])
    counts = np.bincount(histories.values, minlength=N_ITEMS)
    users = Vocabulary.from_ids(list(range(n_users)))
    return PreparedData(Vocabulary.from_ids(list(range(N_ITEMS)), counts), histories, users, histories), items[:, -1]


def fitted(name, data=None, **settings):
    section = getattr(BaselinesConfig(), name)
    config = BaselinesConfig(**{name: type(section)(**settings)})
    return build_baseline(name, config).fit(planted()[0] if data is None else data)


@pytest.fixture(params=list(BASELINES))
def name(request):
    return request.param


@pytest.mark.parametrize("name", ["item_knn", "cooccurrence", "ease"])
def test_learns_the_planted_answer(name):
    data, answers = planted()
    scores = fitted(name).score(data.histories)
    scores[np.arange(len(answers))[:, None], data.histories.values.reshape(len(answers), -1)] = -np.inf
    own = scores[np.arange(len(answers)), answers].copy()
    scores[np.arange(len(answers)), answers] = -np.inf
    assert (own > scores.max(axis=1)).all()


def test_scores_are_one_finite_float32_per_query_and_item(name):
    scores = fitted(name).score(Sequences.from_lists([[0, 1], [], [N_ITEMS - 1]]))
    assert scores.shape == (3, N_ITEMS)
    assert scores.dtype == np.float32
    assert np.isfinite(scores).all()


def test_same_data_same_numbers(name):
    histories = planted()[0].histories
    assert fitted(name).score(histories).tobytes() == fitted(name).score(histories).tobytes()


def test_a_query_alone_scores_as_in_a_batch(name):
    histories, model = planted()[0].histories, fitted(name)
    together = model.score(histories)
    for row in (0, 17, 299):
        assert model.score(histories.take([row])).tobytes() == together[row].tobytes()


def test_the_caller_may_overwrite_scores(name):
    histories, model = planted()[0].histories, fitted(name)
    first = model.score(histories)
    kept = first.copy()
    first[:] = -np.inf
    assert (model.score(histories) == kept).all()


def test_no_queries_give_no_rows(name):
    assert fitted(name).score(Sequences.from_lists([])).shape == (0, N_ITEMS)


@pytest.mark.parametrize("name", ["item_knn", "cooccurrence", "ease"])
def test_an_empty_history_scores_zero_or_in_popularity_order(name):
    empty = Sequences.from_lists([[]])
    assert (fitted(name, popularity_weight=0.0).score(empty) == 0).all()
    counts = planted()[0].items.counts
    scores = fitted(name, popularity_weight=0.5).score(empty)[0]
    assert (np.diff(scores[np.argsort(counts, kind="stable")]) >= 0).all()
    assert scores.min() == scores[-1] < scores.max()


@pytest.mark.parametrize("name", ["popularity", "item_knn", "cooccurrence", "ease"])
def test_repeat_weight_lifts_the_items_of_the_history_the_latest_most(name):
    query = Sequences.from_lists([[4, 9]])
    plain, lifted = fitted(name).score(query)[0], fitted(name, repeat_weight=10.0, recency_decay=0.9).score(query)[0]
    gain = lifted - fitted(name, recency_decay=0.9).score(query)[0]
    np.testing.assert_allclose(gain[[4, 9]], [9.0, 10.0], rtol=1e-5)
    assert np.flatnonzero(np.abs(gain) > 1e-3).tolist() == [4, 9]
    assert plain.shape == lifted.shape


def test_a_second_fit_forgets_the_first(name):
    first, second = planted()[0], planted(shift=3)[0]
    refitted = fitted(name, first).fit(second)
    assert refitted.score(second.histories).tobytes() == fitted(name, second).score(second.histories).tobytes()


@pytest.mark.parametrize("name", ["item_knn", "cooccurrence", "ease"])
def test_the_second_fit_does_change_the_scores(name):
    first, second = planted()[0], planted(shift=3)[0]
    assert (fitted(name, first).score(first.histories) != fitted(name, second).score(first.histories)).any()


def test_asking_before_fit_is_refused(name):
    with pytest.raises(NotFittedError, match=r"call fit\(data\) first"):
        build_baseline(name, BaselinesConfig()).score(Sequences.from_lists([[0]]))


@pytest.mark.parametrize("name", ["popularity", "item_knn", "cooccurrence", "ease"])
@pytest.mark.parametrize("index", [-1, N_ITEMS])
def test_an_index_outside_the_catalogue_is_refused(name, index):
    with pytest.raises(DataError, match=rf"item indices 0\.\.{N_ITEMS - 1}, got .*{index}"):
        fitted(name).score(Sequences.from_lists([[0, index]]))


def test_fit_and_score_leave_read_only_data_as_it_was(name):
    # repeats within a history, in memory that cannot be written, as a memory map is
    histories = Sequences.from_lists([[5, 2, 5], [3], [], [2, 3, 2, 5]])
    counts = np.bincount(histories.values, minlength=N_ITEMS)
    for array in (histories.values, histories.offsets, counts):
        array.setflags(write=False)
    users = Vocabulary.from_ids(list(range(4)))
    data = PreparedData(Vocabulary.from_ids(list(range(N_ITEMS)), counts), histories, users, histories)
    assert np.isfinite(fitted(name, data).score(histories)).all()
    assert histories.to_lists() == [[5, 2, 5], [3], [], [2, 3, 2, 5]]


def test_the_table_and_the_settings_name_the_same_baselines():
    assert list(BASELINES) == list(BaselinesConfig.model_fields)
    assert all(type(build_baseline(name, BaselinesConfig())) is cls for name, cls in BASELINES.items())


def test_an_unknown_baseline_is_refused_by_name():
    with pytest.raises(ConfigError, match="no baseline 'slim'; there are random, popularity, item_knn"):
        build_baseline("slim", BaselinesConfig())
