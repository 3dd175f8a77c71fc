"""The simple models that any other must be shown against, by name."""

from __future__ import annotations

from typing import Protocol, Self

from numpy import float32
from numpy.typing import NDArray

from prismrec.config import Section
from prismrec.data.prepared import PreparedData
from prismrec.data.sequences import Sequences
from prismrec.errors import ConfigError
from prismrec.models.baselines.cooccurrence import Cooccurrence, CooccurrenceConfig
from prismrec.models.baselines.ease import Ease, EaseConfig
from prismrec.models.baselines.item_knn import ItemKNN, ItemKNNConfig
from prismrec.models.baselines.popularity import Popularity, PopularityConfig
from prismrec.models.baselines.random_order import RandomOrder, RandomOrderConfig
from prismrec.models.baselines.svd import SVD, SVDConfig


class Baseline(Protocol):
    """A `Recommender` that learns from prepared data in one call."""

    def fit(self, data: PreparedData) -> Self:
        """Learn; a second call forgets the first."""
        ...

    def score(self, histories: Sequences) -> NDArray[float32]:
        """(n_queries, n_items) float32."""
        ...


class BaselinesConfig(Section):
    """The settings of every baseline, by its name."""

    random: RandomOrderConfig = RandomOrderConfig()
    popularity: PopularityConfig = PopularityConfig()
    item_knn: ItemKNNConfig = ItemKNNConfig()
    cooccurrence: CooccurrenceConfig = CooccurrenceConfig()
    ease: EaseConfig = EaseConfig()
    svd: SVDConfig = SVDConfig()


BASELINES = {
    "random": RandomOrder,
    "popularity": Popularity,
    "item_knn": ItemKNN,
    "cooccurrence": Cooccurrence,
    "ease": Ease,
    "svd": SVD,
}
"""Every baseline by its name; each takes the field of `BaselinesConfig` of that name."""


def build_baseline(name: str, config: BaselinesConfig) -> Baseline:
    """An unfitted baseline.

    Raises:
        ConfigError: there is no baseline of that name.
    """
    if name == "random":
        return RandomOrder(config.random)
    if name == "popularity":
        return Popularity(config.popularity)
    if name == "item_knn":
        return ItemKNN(config.item_knn)
    if name == "cooccurrence":
        return Cooccurrence(config.cooccurrence)
    if name == "ease":
        return Ease(config.ease)
    if name == "svd":
        return SVD(config.svd)
    raise ConfigError(f"there is no baseline {name!r}; there are {', '.join(BASELINES)}")


__all__ = [
    "BASELINES",
    "SVD",
    "Baseline",
    "BaselinesConfig",
    "Cooccurrence",
    "CooccurrenceConfig",
    "Ease",
    "EaseConfig",
    "ItemKNN",
    "ItemKNNConfig",
    "Popularity",
    "PopularityConfig",
    "RandomOrder",
    "RandomOrderConfig",
    "SVDConfig",
    "build_baseline",
]
