"""The settings of the models that learn from a knowledge graph."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from prismrec.config import Section
from prismrec.data.knowledge.settings import Control
from prismrec.data.news.settings import NewsSettings
from prismrec.models.neural.negatives import NegativeSettings
from prismrec.models.neural.schedules import ScheduleSettings

TranslationName = Literal["transe", "transh", "transr", "transd", "rescal", "distmult", "complex"]


class LinkModelConfig(Section):
    """What all models share that learn which triples are true: see `translation`."""

    embedding_dim: int = Field(100, ge=2, le=4096, description="real numbers per entity")
    loss: Literal["softmax", "self_adversarial", "logistic", "margin"] = Field(
        "softmax", description="what is made smaller; see link_losses"
    )
    margin: float = Field(6.0, gt=0, description="of margin and self_adversarial: by how much true triples lead")
    temperature: float = Field(1.0, ge=0, description="of self_adversarial: how much the hardest negatives count")
    n_negatives: int = Field(512, ge=1, description="entities that the triples of a batch share, per side")
    corruption: Literal["bernoulli", "uniform", "both"] = Field(
        "both", description="which end is replaced: each, one by a coin, or one by the relation's own odds"
    )
    type_constrained: bool = Field(
        False, description="replace an end only by entities that the relation has on that side"
    )
    optimizer: Literal["adagrad", "adam"] = Field("adagrad", description="of the rows that a batch touches")
    learning_rate: float = Field(0.1, gt=0, le=10, description="of the optimizer")
    batch_size: int = Field(512, ge=1, description="triples per step")
    l3: float = Field(0.1, ge=0, description="weight of the cubed vectors of a batch, per triple")


class TranslationConfig(LinkModelConfig):
    """Models whose scores are distances."""

    distance: Literal["squared", "euclidean"] = Field(
        "euclidean", description="minus what is a score: the squared distance, or the distance"
    )
    learning_rate: float = Field(0.5, gt=0, le=10, description="of the optimizer")
    l3: float = Field(0.0, ge=0, description="weight of the cubed vectors of a batch, per triple")


class TransEConfig(TranslationConfig):
    """TransE."""


class TransHConfig(TranslationConfig):
    """TransH."""


class TransRConfig(TranslationConfig):
    """TransR."""

    learning_rate: float = Field(0.1, gt=0, le=10, description="of the optimizer")


class TransDConfig(TranslationConfig):
    """TransD."""


class RESCALConfig(LinkModelConfig):
    """RESCAL."""


class DistMultConfig(LinkModelConfig):
    """DistMult."""


class ComplExConfig(LinkModelConfig):
    """ComplEx."""


class RippleNetConfig(Section):
    """RippleNet."""

    embedding_dim: int = Field(16, ge=1, le=512, description="numbers per entity; a relation has their square")
    n_hops: int = Field(2, ge=1, le=6, description="triples between a history and what it may reach")
    triples_per_hop: int = Field(64, ge=1, le=1024, description="triples of a hop that are attended to in training")
    answer_triples: int = Field(256, ge=1, le=4096, description="the same in answers, where more cost less")
    item_update: Literal["replace", "plus", "replace_transform", "plus_transform"] = Field(
        "plus_transform", description="what a hop makes of the item's vector, by what it answered"
    )
    hop_weights: Literal["learned", "equal", "last"] = Field(
        "learned", description="how much each hop counts for the user: learned, all alike, or the last one only"
    )
    asked_together: int = Field(8, ge=1, le=256, description="clicks of a user that share a ripple in training")
    kge_weight: float = Field(0.003, ge=0, description="weight of the loss of triples, which is a mean over them")
    l2: float = Field(1e-7, ge=0, description="weight of all squared vectors and matrices")
    learning_rate: float = Field(0.02, gt=0, le=1, description="of Adam")
    batch_size: int = Field(2048, ge=2, description="clicks and items not had per step; a ripple's are never parted")
    negatives: NegativeSettings = Field(
        default=NegativeSettings(), description="items that count as not wanted, `[models.ripplenet.negatives]`"
    )


class MKRConfig(Section):
    """MKR."""

    embedding_dim: int = Field(32, ge=1, le=1024, description="numbers per vector")
    low_layers: int = Field(1, ge=1, le=8, description="L: layers of users, and cross-and-compress units")
    high_layers: int = Field(1, ge=1, le=8, description="H: layers that predict a tail from head and relation")
    tasks: Literal["both", "recommendation", "knowledge"] = Field(
        "both", description="what is learned; one alone shows what the other adds"
    )
    l2: float = Field(1e-3, ge=0, description="weight of the squared vectors of a batch, per example")
    learning_rate: float = Field(0.01, gt=0, le=1, description="of Adam")
    batch_size: int = Field(2048, ge=2, description="clicks, and triples, per step; each has a drawn one beside it")
    schedule: ScheduleSettings = Field(
        default=ScheduleSettings(), description="when each task is trained, `[models.mkr.schedule]`"
    )
    negatives: NegativeSettings = Field(
        default=NegativeSettings(), description="items that count as not wanted, `[models.mkr.negatives]`"
    )


class DKNParts(Section):
    """`[models.dkn.parts]`: what of DKN there is; each change is a row of the paper's Table 3."""

    channels: Literal["both", "entity", "context", "none"] = Field(
        "both", description="beside its word, a place of a title has its entity, the entity's neighbours, both, or none"
    )
    mapping: Literal["nonlinear", "linear", "none"] = Field(
        "nonlinear", description="how vectors of entities come into the space of words"
    )
    attention: bool = Field(True, description="clicked articles count by the candidate; else all alike")
    control: Control = Field("none", description="what is done to the graph of entities to see what it is worth")


class NewsVectorSettings(Section):
    """`[models.dkn.vectors]`: what words and entities are before any click is seen."""

    words: Literal["cooccurrence", "random"] = Field(
        "cooccurrence", description="of words: from the titles that hold them, or anything"
    )
    entities: str = Field(
        "",
        description="file of vectors: Parquet as `prismrec export` writes, or .vec of MIND; empty: as those of words",
    )
    trained: bool = Field(True, description="they go on learning from clicks; else only what reads them learns")


class DKNConfig(Section):
    """DKN."""

    text: NewsSettings = Field(default=NewsSettings(), description="titles and entities, `[models.dkn.text]`")
    parts: DKNParts = Field(default=DKNParts(), description="for ablations, `[models.dkn.parts]`")
    vectors: NewsVectorSettings = Field(default=NewsVectorSettings(), description="`[models.dkn.vectors]`")
    negatives: NegativeSettings = Field(
        default=NegativeSettings(),
        description="what is drawn where the log does not say what was shown and not clicked",
    )
    n_negatives: int = Field(1, ge=1, description="draws per click, where the log does not say")
    embedding_dim: int = Field(
        50, ge=1, le=1024, description="numbers per word; per entity too, where no file has them"
    )
    windows: tuple[int, ...] = Field((1, 2, 3), min_length=1, description="words that a filter looks at, kind by kind")
    filters: int = Field(64, ge=1, le=1024, description="filters of each kind")
    hidden_dim: int = Field(64, ge=1, le=1024, description="hidden units of attention and click network")
    max_history: int = Field(30, ge=1, le=1000, description="clicked articles that a query is made of")
    batch_size: int = Field(128, ge=1, description="labelled rows per step, about")
    learning_rate: float = Field(0.001, gt=0, le=1, description="of Adam")


__all__ = [
    "ComplExConfig",
    "DKNConfig",
    "DKNParts",
    "DistMultConfig",
    "LinkModelConfig",
    "MKRConfig",
    "NewsVectorSettings",
    "RESCALConfig",
    "RippleNetConfig",
    "TransDConfig",
    "TransEConfig",
    "TransHConfig",
    "TransRConfig",
    "TranslationConfig",
    "TranslationName",
]
