"""Trained models with the data they were trained on, as recommenders over item indices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from prismrec.data.prepared import PreparedData
from prismrec.models.contract import EmbeddingModel
from prismrec.retrieval.blend import MultiViewScorer, QuerySettings
from prismrec.retrieval.encoded import EncodedScorer
from prismrec.training.log import TrainingLog

if TYPE_CHECKING:  # it needs torch
    from prismrec.models.neural.contract import NeuralModel


@dataclass(frozen=True, eq=False)
class Fitted:
    """M2GRL, trained: queries are mixtures of the vectors of their history."""

    model: EmbeddingModel
    data: PreparedData
    log: TrainingLog

    def scorer(self, query: QuerySettings) -> MultiViewScorer:
        """The model as a recommender over item indices."""
        nodes = {name: view.item_nodes for name, view in self.data.views.items()}
        return MultiViewScorer(self.model.tables(), nodes, self.data.items.counts, query)


@dataclass(frozen=True, eq=False)
class FittedEncoder:
    """A neural model, trained: it encodes queries itself."""

    model: NeuralModel
    data: PreparedData
    log: TrainingLog

    def scorer(self, query: QuerySettings) -> EncodedScorer:
        """The model, as it is now, as a recommender over item indices and users.

        Raises:
            ConfigError: the settings ask for what an encoder cannot do.
        """
        return EncodedScorer(self.model.encoder(), self.model.table().target, self.data.items.counts, query)


AnyFitted = Fitted | FittedEncoder

__all__ = ["AnyFitted", "Fitted", "FittedEncoder"]
