"""What a model of a knowledge graph must do: find a preference that only the graph explains, and lose it without.

Forty directors of six films each. A user likes one director and had three of the films, drawn so that who had the same
films says next to nothing; the sixth film of every director nobody had. The right answers are that film, and the films
of the director that the user did not have. The shuffled graph keeps how many triples everything has.
"""

from dataclasses import replace

import numpy as np
import pytest

from prismrec.data.knowledge.graph import ItemKnowledge
from prismrec.graphs.knowledge import controlled, with_inverses
from prismrec.models.algorithms import ModelsConfig, build_model
from prismrec.models.contract import CandidateScorer
from prismrec.models.neural.trainable import TorchTraining

N_DIRECTORS, FILMS = 40, 6
N_FILMS = N_DIRECTORS * FILMS
N_USERS = 160
SMALL = {
    "ripplenet": {
        "embedding_dim": 16, "batch_size": 256, "asked_together": 1, "triples_per_hop": 32, "item_update": "plus",
        "l2": 1e-4,
    },
    "mkr": {
        "embedding_dim": 32, "batch_size": 128, "l2": 0.003, "schedule": {"kind": "joint", "side_weight": 3.0},
    },
}  # fmt: skip
"""Settings that find the planted preference in seconds."""

EPOCHS = {"ripplenet": 20, "mkr": 80}


@pytest.fixture(scope="module")
def planted(make_graph, make_log):
    """The data with the true graph, and the director of each user."""
    rng = np.random.default_rng(2)
    directors = np.arange(N_USERS) % N_DIRECTORS
    histories = [director * FILMS + rng.permutation(FILMS - 1)[:3] for director in directors]
    films = np.arange(N_FILMS)
    triples = np.column_stack([films, np.zeros_like(films), N_FILMS + films // FILMS])
    graph = with_inverses(make_graph(N_FILMS + N_DIRECTORS, triples, ("directed by",)))
    return make_log(histories, N_FILMS, ItemKnowledge(graph, films)), directors


def scores(name, data, control):
    """(n_users, n_films): of a model trained on the graph as the control leaves it."""
    data = replace(data, knowledge=controlled(data.knowledge, control))
    section = type(getattr(ModelsConfig(), name))
    model = build_model(name, ModelsConfig(**{name: section(**SMALL[name])}), data, seed=0, device="cpu")
    training = TorchTraining(model, seed=0)
    for epoch in range(EPOCHS[name]):
        for step in range(training.steps_per_epoch):
            training.step(epoch, step, 0.0)
    encoder, users = model.encoder(), np.arange(N_USERS)
    if isinstance(encoder, CandidateScorer):
        return encoder.score_candidates(data.histories, users, np.tile(np.arange(N_FILMS), (N_USERS, 1)))
    return encoder.encode(data.histories, users) @ model.table().target.T


def lead(found, data, directors):
    """How often a film of the user's director that the user did not have outscores one of another, as AUC counts."""
    won = []
    for user, director in enumerate(directors):
        own = np.setdiff1d(np.arange(director * FILMS, (director + 1) * FILMS), data.histories[user])
        others = np.setdiff1d(np.arange(N_FILMS), np.arange(director * FILMS, (director + 1) * FILMS))
        won.append((found[user, own][:, None] > found[user, others]).mean())
    return float(np.mean(won))


def lead_of_unseen(found, directors):
    """The same for the film of the director that nobody had, against those of the others."""
    unseen = np.arange(FILMS - 1, N_FILMS, FILMS)
    own = found[np.arange(N_USERS), unseen[directors]]
    return float(((own[:, None] > found[:, unseen]).sum(1) / (N_DIRECTORS - 1)).mean())


@pytest.mark.parametrize("name", SMALL)
def test_finds_what_only_the_graph_tells_and_loses_it_with_the_controls(name, planted):
    data, directors = planted
    found = {control: scores(name, data, control) for control in ("none", "shuffled", "absent")}
    assert lead(found["none"], data, directors) > 0.85
    assert lead_of_unseen(found["none"], directors) > 0.8
    for control in ("shuffled", "absent"):
        assert lead_of_unseen(found[control], directors) == pytest.approx(0.5, abs=0.12), control


@pytest.mark.parametrize("name", SMALL)
def test_the_other_controls_keep_the_sizes_of_what_is_learned(name, planted):
    """So that a control differs by what the triples say alone."""
    data, _ = planted
    sizes = []
    for control in ("none", "shuffled", "absent"):
        known = replace(data, knowledge=controlled(data.knowledge, control))
        model = build_model(name, ModelsConfig(), known, seed=0, device="cpu")
        sizes.append({parameter: tuple(tensor.shape) for parameter, tensor in model.network.named_parameters()})
    assert sizes[0] == sizes[1] == sizes[2]
