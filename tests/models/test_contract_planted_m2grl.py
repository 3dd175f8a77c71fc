"""What M2GRL must do on planted data with one right answer: see `planted` in conftest.py.

What follows item i of category c is item i + 1 (a cycle), or any item of category c + 1 (no cycle). Five rare items
were met once, five cold ones never; all items have a category.
"""

import numpy as np
import pytest

from prismrec.data.sequences import Sequences
from prismrec.data.training_data import training_data
from prismrec.models.m2grl import torch_step
from prismrec.models.m2grl.config import M2GRLConfig
from prismrec.models.m2grl.model import M2GRL
from prismrec.retrieval.blend import MultiViewScorer, QuerySettings

WARM, RARE, COLD = np.arange(30), np.arange(30, 35), np.arange(35, 40)
EPOCHS = 20
ALL_VIEWS = ("category", "shop", "tags")


def built(data, seed=0, implementation="numba", **values):
    config = M2GRLConfig(**{"embedding_dim": 16, "window": 1, **values})
    return M2GRL(
        config,
        training_data(data, config.sequences),
        learning_rate=0.3,
        seed=seed,
        n_threads=1,
        implementation=implementation,
    )


def trained(model, first=0, last=EPOCHS):
    """Take the epochs first..last - 1; the loss of each task in each of them."""
    return [{t: loss.mean for t, loss in model.step(e, 0, e / EPOCHS).items()} for e in range(first, last)]


def fitted(data, **values):
    model = built(data, **values)
    trained(model)
    return model


def scores_of(model):
    """(n_items, n_items): what each item alone says for each candidate."""
    item = model.tables()["item"]
    return item.source @ item.target.T


def of_next_category(candidates, anchors):
    return candidates % 5 == (anchors + 1) % 5


def bits(state):
    return {name: np.asarray(array).tobytes() for name, array in state.items()}


@pytest.mark.parametrize("views", [(), ("category",), ALL_VIEWS])
def test_learns_the_planted_answer_with_any_number_of_views(planted, views):
    found = scores_of(fitted(planted(views)))[np.ix_(WARM, WARM)].argmax(axis=1)
    assert (found == (WARM + 1) % 30).mean() >= 0.95


@pytest.mark.parametrize("context", ["forward", "symmetric"])
def test_forward_contexts_tell_what_comes_next_symmetric_ones_do_not(planted, context):
    scores = scores_of(fitted(planted(()), context=context))
    ahead, behind = scores[WARM, (WARM + 1) % 30], scores[WARM, (WARM - 1) % 30]
    if context == "forward":
        assert (ahead > behind + 3).all()
    else:
        assert np.abs((ahead - behind).mean()) < 0.5
        assert min(ahead.min(), behind.min()) > scores[WARM, (WARM + 5) % 30].max()


def test_recommends_the_planted_answer_for_a_history(planted):
    data = planted()
    nodes = {name: view.item_nodes for name, view in data.views.items()}
    query = QuerySettings(view_weights={"item": 1.0, "category": 0.5}, recency_decay=0.3)
    scorer = MultiViewScorer(fitted(data).tables(), nodes, data.items.counts, query)
    histories = Sequences.from_lists([[(i - 1) % 30, i] for i in WARM])
    best = scorer.score(histories).argmax(axis=1)
    assert (best == (WARM + 1) % 30).mean() >= 0.95


@pytest.fixture
def one_torch_thread():
    """Small tensors only lose by threads, and much where other programs want the cores too."""
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("one_torch_thread")
def test_torch_learns_the_same_structure(planted, monkeypatch):
    monkeypatch.setattr(torch_step, "ANCHORS_PER_UPDATE", 32)  # 30 items: with more, each would hardly ever move
    data = planted(n_sessions=120)
    for implementation in ("numba", "torch"):
        found = scores_of(fitted(data, implementation=implementation))[np.ix_(WARM, WARM)].argmax(axis=1)
        assert (found == (WARM + 1) % 30).mean() >= 0.95, implementation


def test_losses_fall(planted):
    losses = trained(built(planted()))
    for task in ("item", "category", "item-category"):
        assert losses[-1][task] < 0.5 * losses[0][task], task


@pytest.mark.parametrize("views", [(), ALL_VIEWS])
def test_same_seed_same_bits_other_seed_other_vectors(planted, views):
    data = planted(views)
    one, same, other = (fitted(data, seed=seed) for seed in (3, 3, 4))
    assert bits(one.state()) == bits(same.state())
    assert (one.state()["item.source"] != other.state()["item.source"]).mean() > 0.99


def test_training_changes_nothing_of_the_data(planted):
    data, before = planted(ALL_VIEWS), planted(ALL_VIEWS)
    fitted(data)
    assert data.sessions.values.tobytes() == before.sessions.values.tobytes()
    assert data.items.counts.tobytes() == before.items.counts.tobytes()
    for name, view in data.views.items():
        assert view.sessions.values.tobytes() == before.views[name].sessions.values.tobytes()


def test_a_restored_state_goes_on_to_the_same_bits(planted):
    data = planted(ALL_VIEWS)
    whole, first, second = built(data), built(data), built(data)
    trained(whole)
    trained(first, 0, 8)
    second.restore({name: array.copy() for name, array in first.state().items()})
    trained(second, 8, EPOCHS)
    assert bits(second.state()) == bits(whole.state())


def test_a_state_that_is_given_away_is_not_changed_by_who_takes_it(planted):
    data = planted()
    first, second = fitted(data), built(data)
    kept = bits(first.state())
    second.restore(first.state())
    trained(second, 0, 2)
    assert bits(first.state()) == kept


@pytest.mark.parametrize("seed", range(3))
def test_with_alignment_an_item_never_met_is_recommended_where_its_category_is_due(planted, seed):
    data = planted(cycle=False)
    aligned, alone = (scores_of(fitted(data, alignment=on, seed=seed))[np.ix_(WARM, COLD)] for on in (True, False))
    assert of_next_category(COLD[aligned.argmax(axis=1)], WARM).mean() > 0.9
    assert not alone.any()  # without it nothing is known of them


@pytest.mark.parametrize("seed", range(3))
def test_with_alignment_an_item_met_once_lands_near_its_category(planted, seed):
    """Claim (i) of the paper: side information helps most where clicks are few."""
    data, near = planted(cycle=False), {}
    for alignment in (True, False):
        item = fitted(data, alignment=alignment, seed=seed).tables()["item"].source
        unit = item / np.linalg.norm(item, axis=1, keepdims=True)
        cosines = unit[RARE] @ unit[WARM].T
        own = WARM[None, :] % 5 == RARE[:, None] % 5
        near[alignment] = cosines[own].mean() - cosines[~own].mean()
    assert near[True] > 0.2
    assert near[True] > near[False] + 0.2


def test_with_alignment_an_item_met_once_is_followed_by_the_right_category(planted):
    data, share = planted(cycle=False), {}
    for alignment in (True, False):
        best = np.argsort(-scores_of(fitted(data, alignment=alignment))[np.ix_(RARE, WARM)], axis=1)[:, :6]
        share[alignment] = of_next_category(best, RARE[:, None]).mean()
    assert share[True] > 0.7
    assert share[False] < 0.5


def test_nodes_of_a_side_view_follow_each_other_as_planted(planted):
    table = fitted(planted()).tables()["category"]
    assert (table.source @ table.target.T).argmax(axis=1).tolist() == [1, 2, 3, 4, 0]


def test_a_task_that_the_data_say_more_about_weighs_more(planted):
    weights = fitted(planted(cycle=False)).task_weights()
    assert list(weights) == ["item", "category", "item-category"]
    assert weights["category"] > 2 * weights["item"]  # the category is certain, the item within it is not


@pytest.mark.parametrize("twice", [False, True])
def test_warm_start_knows_at_once_what_was_learned_and_goes_on_learning(planted, twice):
    data = planted()
    model = fitted(data)
    for _ in range(1 + twice):
        tables, alignments = model.tables(), model.alignments()
        model = built(data, seed=8)
        model.start_from(tables, alignments)
        np.testing.assert_array_equal(scores_of(model), tables["item"].source @ tables["item"].target.T)
        losses = trained(model)
        assert losses[0]["item"] < 0.2
    found = scores_of(model)[np.ix_(WARM, WARM)].argmax(axis=1)
    assert (found == (WARM + 1) % 30).mean() >= 0.95
