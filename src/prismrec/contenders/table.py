"""Who is compared: which settings make each contender, and what tuning tries for it. Literal tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from prismrec.evaluation.tuning import Space
from prismrec.fitting.query import HISTORY_LENGTHS, RECENCY_DECAYS
from prismrec.models.algorithms import GRAPH_READERS, NEURAL, NeuralName

M2GRL = "m2grl"
BASELINES = ("popularity", "item_knn", "cooccurrence", "ease")
SKIP_GRAMS = ("item2vec", "single_view")
DEFAULT = (*BASELINES, *SKIP_GRAMS, M2GRL)

_SKIP_GRAM_VARIANTS: Mapping[str, Mapping[str, Any]] = {
    M2GRL: {},
    "single_view": {"views": {}},
    "item2vec": {
        "views": {}, "model.context": "symmetric", "model.negative_power": 0.75, "model.popularity_offset": False,
        "query.similarity": "cosine", "query.popularity_weight": 0.0,
    },
    "no_alignment": {"model.alignment": False},
    "equal_weights": {"model.task_weights": "equal"},
    "cosine": {"query.similarity": "cosine"},
    "symmetric": {"model.context": "symmetric"},
    "no_popularity": {"model.popularity_offset": False, "query.popularity_weight": 0.0},
}  # fmt: skip
"""Every model trained by M2GRL's code. `item2vec` is the usual recipe: one view, symmetric contexts, cosine of source
vectors."""

_NEURAL_VARIANTS: Mapping[str, tuple[NeuralName, Mapping[str, Any]]] = {
    "sasrec_bce": ("sasrec", {"loss": "bce"}),
    "ma_gnn_bpr": ("ma_gnn", {"loss": "bpr"}),
    "ma_gnn_short": ("ma_gnn", {"parts.interests": "short"}),
    "ma_gnn_long": ("ma_gnn", {"parts.interests": "long", "parts.bilinear": False}),
    "ma_gnn_no_memory": ("ma_gnn", {"parts.memory": False}),
    "ma_gnn_no_gate": ("ma_gnn", {"parts.gate": False}),
    "ma_gnn_no_bilinear": ("ma_gnn", {"parts.bilinear": False}),
    "ma_gnn_no_graph": ("ma_gnn", {"parts.graph": False}),
    "ma_gnn_no_user": ("ma_gnn", {"parts.user": False}),
    "ma_gnn_equal_recency": ("ma_gnn", {"parts.recency": "equal"}),
    **{f"ma_gnn_heads_{n}": ("ma_gnn", {"heads": n}) for n in (1, 2, 8, 16)},
    **{f"ma_gnn_memory_{n}": ("ma_gnn", {"memory_slots": n}) for n in (5, 10, 40, 80)},
    "hgt_plain": ("mthgt", {"tasks": "recommendation", "subgraph.sampling": "random"}),
    "hgt_d": ("mthgt", {"tasks": "recommendation"}),
    "hgt_m": ("mthgt", {"subgraph.sampling": "random"}),
    "mthgt_shared": ("mthgt", {"shared_layers": True}),
    "dkn_entity": ("dkn", {"parts.channels": "entity"}),
    "dkn_context": ("dkn", {"parts.channels": "context"}),
    "dkn_words": ("dkn", {"parts.channels": "none"}),
    "dkn_linear": ("dkn", {"parts.mapping": "linear"}),
    "dkn_no_mapping": ("dkn", {"parts.mapping": "none"}),
    "dkn_no_attention": ("dkn", {"parts.attention": False}),
    "dkn_random_words": ("dkn", {"vectors.words": "random"}),
    **{f"ripplenet_{n}_hops": ("ripplenet", {"n_hops": n}) for n in (1, 3)},
    **{f"ripplenet_{m}": ("ripplenet", {"item_update": m}) for m in ("replace", "plus", "replace_transform")},
    "ripplenet_no_triple_loss": ("ripplenet", {"kge_weight": 0.0}),
    "mkr_one_task": ("mkr", {"tasks": "recommendation"}),
    **{f"mkr_{kind}": ("mkr", {"schedule.kind": kind}) for kind in ("joint", "sequential")},
    **{
        f"{name}_{kind}_negatives": (name, {"negatives.kind": kind})
        for name in ("mf", "ripplenet", "mkr")
        for kind in ("popular", "hard")
    },
}
"""Neural models in another form: which model, and what of its own settings changes. `hgt_plain`, `hgt_d` and `hgt_m`
are HGT, dense sampling alone and several tasks alone, as in Figure 4 of MTHGT's paper: with MTHGT's own layer, so that
nothing else differs. `hgt` is HGT as torch_geometric has it."""

KNOWLEDGE_AWARE: tuple[NeuralName, ...] = (*GRAPH_READERS, "dkn")
"""Models that learn from a knowledge graph: that of the data, or one of their own."""

CONTROLS: Mapping[str, Mapping[str, str]] = {
    model: {f"{model}_{control}": control for control in ("shuffled", "absent")} for model in KNOWLEDGE_AWARE
}
"""Of each of these the same model beside it: with relations and tails of the graph permuted, and without a triple."""

_GRAPH_OF = {"dkn": "models.dkn.parts.control"}
"""Which setting controls the graph, where that is not the graph of the data: DKN makes its own of what titles name."""

VARIANTS: Mapping[str, Mapping[str, Any]] = {
    **{name: {"algorithm": M2GRL, **changes} for name, changes in _SKIP_GRAM_VARIANTS.items()},
    **{name: {"algorithm": name} for name in NEURAL},
    **{
        name: {"algorithm": model, **{f"models.{model}.{field}": value for field, value in changes.items()}}
        for name, (model, changes) in _NEURAL_VARIANTS.items()
    },
    **{
        name: {"algorithm": model, _GRAPH_OF.get(model, "knowledge.control"): control}
        for model, controls in CONTROLS.items()
        for name, control in controls.items()
    },
}
"""Every contender that is trained in epochs: what it changes in the settings."""

ABLATIONS: Mapping[str, Sequence[str]] = {
    M2GRL: (M2GRL, "no_alignment", "equal_weights", "cosine", "symmetric", "no_popularity", "single_view"),
    "ma_gnn": (
        "ma_gnn", "ma_gnn_short", "ma_gnn_long", "ma_gnn_no_memory", "ma_gnn_no_gate", "ma_gnn_no_bilinear",
        "ma_gnn_no_graph", "ma_gnn_no_user", "ma_gnn_equal_recency", "ma_gnn_bpr",
    ),
    "sasrec": ("sasrec", "sasrec_bce"),
    "mthgt": ("mthgt", "hgt_m", "hgt_d", "hgt_plain", "mthgt_shared"),
    "dkn": (
        "dkn", "dkn_entity", "dkn_context", "dkn_words", "dkn_linear", "dkn_no_mapping", "dkn_no_attention",
        "dkn_random_words",
    ),
    "ripplenet": (
        "ripplenet", "ripplenet_1_hops", "ripplenet_3_hops", "ripplenet_replace", "ripplenet_plus",
        "ripplenet_replace_transform", "ripplenet_no_triple_loss", "ripplenet_popular_negatives",
    ),
    "mkr": ("mkr", "mkr_one_task", "mkr_joint", "mkr_sequential", "mkr_popular_negatives"),
}  # fmt: skip
"""Of an algorithm: itself, and itself with a part taken away or exchanged."""

_HISTORY: Space = {"recency_decay": RECENCY_DECAYS, "history_length": HISTORY_LENGTHS}
_PRIORS: Space = {
    "popularity_weight": (0.0, 0.01, 0.03, 0.1, 0.3),
    "repeat_weight": (-1.0, -0.1, 0.0, 0.1, 0.3, 1.0, 3.0),
}

SPACES: Mapping[str, Space] = {
    "random": {},
    "popularity": {"repeat_weight": (0.0, 1.0, 10.0, 100.0), **_HISTORY},
    "item_knn": {
        "neighbours": (50, 200, 1000), "shrinkage": (0.0, 10.0, 50.0), "weighting": ("none", "tfidf", "bm25"),
        **_HISTORY, **_PRIORS,
    },
    "cooccurrence": {
        "pairs.window": (2, 5, 10, 20), "pairs.direction": ("forward", "symmetric"),
        "normalisation": ("cosine", "conditional"), "target_exponent": (0.1, 0.3, 0.5), "shrinkage": (0.0, 10.0, 40.0),
        **_HISTORY, **_PRIORS,
    },
    "ease": {"regularisation": (50.0, 200.0, 500.0, 1500.0), **_HISTORY, **_PRIORS},
    "svd": {"rank": (8, 16, 32, 64, 128), **_HISTORY, **_PRIORS},
}  # fmt: skip
"""What tuning tries for each baseline; `repeat_weight` only where seen items are ranked."""


def with_controls(names: Sequence[str]) -> tuple[str, ...]:
    """The contenders, each knowledge-aware model followed by its controls."""
    return tuple(dict.fromkeys(each for name in names for each in (name, *CONTROLS.get(name, ()))))


__all__ = [
    "ABLATIONS",
    "BASELINES",
    "CONTROLS",
    "DEFAULT",
    "KNOWLEDGE_AWARE",
    "M2GRL",
    "SPACES",
    "VARIANTS",
    "with_controls",
]
