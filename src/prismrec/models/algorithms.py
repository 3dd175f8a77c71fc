"""Every model that `algorithm = "..."` can name, in one table; torch is imported when a model is built."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, Literal, get_args

from prismrec.config import Section
from prismrec.data.knowledge.graph import KnowledgeGraph
from prismrec.data.prepared import PreparedData
from prismrec.errors import ArtifactError, MissingExtraError
from prismrec.models.collaborative.configs import LightGCNConfig, MFConfig, NGCFConfig, PinSageConfig
from prismrec.models.contract import QueryEncoder, StoredEncoder
from prismrec.models.heterogeneous.configs import HGTConfig, HIN2VecConfig, MTHGTConfig
from prismrec.models.knowledge.configs import (
    ComplExConfig,
    DistMultConfig,
    DKNConfig,
    MKRConfig,
    RESCALConfig,
    RippleNetConfig,
    TransDConfig,
    TransEConfig,
    TransHConfig,
    TranslationName,
    TransRConfig,
)
from prismrec.models.sequential.configs import GRU4RecConfig, HGNConfig, MAGNNConfig, SASRecConfig

NeuralName = Literal[
    "ma_gnn", "sasrec", "gru4rec", "hgn", "mf", "lightgcn", "ngcf", "pinsage", "hin2vec", "hgt", "mthgt",
    "ripplenet", "mkr", "dkn",
]  # fmt: skip
Algorithm = Literal["m2grl", NeuralName, TranslationName]

NEURAL: tuple[NeuralName, ...] = get_args(NeuralName)
TRANSLATION: tuple[TranslationName, ...] = get_args(TranslationName)
"""Models of the knowledge graph alone: they learn from triples, and from no click."""


GRAPH_READERS: tuple[NeuralName, ...] = ("ripplenet", "mkr")
"""Those with a row per entity of the knowledge graph in the prepared data."""


class ModelsConfig(Section):
    """The settings of every model but M2GRL, whose section is `[model]`."""

    ma_gnn: MAGNNConfig = MAGNNConfig()
    sasrec: SASRecConfig = SASRecConfig()
    gru4rec: GRU4RecConfig = GRU4RecConfig()
    hgn: HGNConfig = HGNConfig()
    mf: MFConfig = MFConfig()
    lightgcn: LightGCNConfig = LightGCNConfig()
    ngcf: NGCFConfig = NGCFConfig()
    pinsage: PinSageConfig = PinSageConfig()
    hin2vec: HIN2VecConfig = HIN2VecConfig()
    hgt: HGTConfig = HGTConfig()
    mthgt: MTHGTConfig = MTHGTConfig()
    ripplenet: RippleNetConfig = RippleNetConfig()
    mkr: MKRConfig = MKRConfig()
    dkn: DKNConfig = DKNConfig()
    transe: TransEConfig = TransEConfig()
    transh: TransHConfig = TransHConfig()
    transr: TransRConfig = TransRConfig()
    transd: TransDConfig = TransDConfig()
    rescal: RESCALConfig = RESCALConfig()
    distmult: DistMultConfig = DistMultConfig()
    complex: ComplExConfig = ComplExConfig()


MODELS: Mapping[NeuralName, tuple[str, str]] = {
    "ma_gnn": ("prismrec.models.sequential.ma_gnn", "MAGNN"),
    "sasrec": ("prismrec.models.sequential.sasrec", "SASRec"),
    "gru4rec": ("prismrec.models.sequential.gru4rec", "GRU4Rec"),
    "hgn": ("prismrec.models.sequential.hgn", "HGN"),
    "mf": ("prismrec.models.collaborative.mf", "MF"),
    "lightgcn": ("prismrec.models.collaborative.lightgcn", "LightGCN"),
    "ngcf": ("prismrec.models.collaborative.ngcf", "NGCF"),
    "pinsage": ("prismrec.models.collaborative.pinsage", "PinSage"),
    "hin2vec": ("prismrec.models.heterogeneous.hin2vec", "HIN2Vec"),
    "hgt": ("prismrec.models.heterogeneous.hgt", "HGT"),
    "mthgt": ("prismrec.models.heterogeneous.mthgt", "MTHGT"),
    "ripplenet": ("prismrec.models.knowledge.ripplenet", "RippleNet"),
    "mkr": ("prismrec.models.knowledge.mkr", "MKR"),
    "dkn": ("prismrec.models.knowledge.dkn", "DKN"),
}
"""Where the class of each model is; it takes (config, data, *, seed, device) and is a `NeuralModel`."""

ENCODERS: Mapping[str, tuple[str, str]] = {
    **dict.fromkeys(NEURAL, ("prismrec.models.user_vectors", "UserVectors")),
    "ma_gnn": ("prismrec.models.sequential.ma_gnn", "MAGNNEncoder"),
    "sasrec": ("prismrec.models.sequential.sasrec", "SASRecEncoder"),
    "gru4rec": ("prismrec.models.sequential.gru4rec", "GRU4RecEncoder"),
    "hgn": ("prismrec.models.sequential.hgn", "HGNEncoder"),
    "ripplenet": ("prismrec.models.knowledge.ripplenet", "RippleNetEncoder"),
    "dkn": ("prismrec.models.knowledge.dkn", "DKNEncoder"),
}
"""Where the encoder of each model is: `opened(config, arrays)` takes what `stored` gave."""


def build_model(name: NeuralName, models: ModelsConfig, data: PreparedData, *, seed: int, device: str) -> Any:
    """A fresh model, ready to be trained.

    Raises:
        MissingExtraError: torch, or what else the model needs, is not installed.
        ConfigError, DataError: the data do not have what the model learns from.
    """
    return _named(MODELS[name], name)(getattr(models, name), data, seed=seed, device=device)


def build_translation(
    name: TranslationName, models: ModelsConfig, graph: KnowledgeGraph, *, seed: int, device: str
) -> Any:
    """A fresh model of links (`models.knowledge.translation.TranslationModel`), ready to be trained.

    Raises:
        MissingExtraError: torch is not installed.
        ConfigError, DataError: the settings or the graph do not fit the model.
    """
    kind = _named(("prismrec.models.knowledge.translation", "TranslationModel"), name)
    return kind(name, getattr(models, name), graph, seed=seed, device=device)


def open_encoder(stored: StoredEncoder) -> QueryEncoder:
    """The encoder of a bundle.

    Raises:
        ArtifactError: a newer PrismRec wrote it, or it is damaged.
        MissingExtraError: torch is not installed, and this encoder needs it.
    """
    if stored.algorithm not in ENCODERS:
        raise ArtifactError(
            f"the bundle holds a model {stored.algorithm!r} that this PrismRec does not know: update it"
        )
    kind = _named(ENCODERS[stored.algorithm], stored.algorithm)
    try:
        encoder: QueryEncoder = kind.opened(stored.config, stored.arrays)
    except (KeyError, RuntimeError, ValueError) as error:  # of pydantic and torch, where something lacks or is too much
        raise ArtifactError(
            f"the bundle's encoder of {stored.algorithm} cannot be opened: {error}; a newer PrismRec wrote it, or it "
            "is damaged: update, or train again"
        ) from error
    return encoder


def _named(place: tuple[str, str], model: str) -> Any:
    module, name = place
    try:
        return getattr(import_module(module), name)
    except ModuleNotFoundError as error:
        if error.name and error.name.startswith("prismrec"):
            raise
        raise MissingExtraError(f"{model} needs {error.name}: pip install 'prismrec[neural]'") from error


__all__ = [
    "ENCODERS",
    "GRAPH_READERS",
    "MODELS",
    "NEURAL",
    "TRANSLATION",
    "Algorithm",
    "ModelsConfig",
    "NeuralName",
    "TranslationName",
    "build_model",
    "build_translation",
    "open_encoder",
]
