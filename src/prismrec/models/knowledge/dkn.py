"""DKN: news by words and knowledge, and a user by the clicked articles that bear on the candidate.

With e(t) the vector of a title (`kcnn`), t_1..t_n what a user clicked and t_j a candidate:

    s_k = softmax_k H([e(t_k), e(t_j)])                  attention: which clicks speak of this candidate        (1)
    e(u) = sum_k s_k e(t_k)                                                                                    (2)
    p = sigmoid(G([e(u), e(t_j)]))                       click probability                                     (3)
    L = mean of -y log p - (1 - y) log(1 - p)            over what was clicked, and what was shown or drawn    (4)

Wang, Zhang, Xie & Guo: DKN: Deep Knowledge-Aware Network for News Recommendation. WWW 2018,
https://arxiv.org/abs/1801.08284, equations (11) to (13). H and G have one hidden layer. An article is its title: one
that nobody clicked, and that came after training, is scored as all others are.

p is no inner product, so that products only find candidates, which (3) then orders: beside (4),

    q(u) = A mean_k e(t_k)         target(j) = (B e(t_j), c . e(t_j))
    L' = var_j (q(u) . target(j) - logit p(u, j))    over candidates j of a batch                              (5)

teaches a product to say what the network says of each history, but for a constant of the history; it sends no gradient
into the network.

The first layers of H and G are linear in each of their two halves, so that what an article adds to them is computed
once per article. Cost of a step: the titles of its articles (`kcnn`), and B n hidden for B rows with n clicks; a scored
candidate: n hidden multiplications. Memory: the vectors of words and entities, and of an article F + 4 hidden numbers
where it is served.

Differs from the paper:
- words and entities begin with vectors of what stands together in titles, where no file is given (`data.news.vectors`);
  all learn together, the neighbours' mean included;
- windows over padding are left out; a user's other clicks are the history, whether made before or after;
- a row that is no click leaves out a click as well (`impressions`): the authors' code leaves the candidate in its own
  history.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn

from prismrec.data.news.articles import ArticleReader, Articles
from prismrec.data.prepared import PreparedData
from prismrec.data.schema import UNKNOWN
from prismrec.data.sequences import Sequences
from prismrec.models.contract import EmbeddingTable, StoredEncoder, TaskLoss
from prismrec.models.knowledge.configs import DKNConfig
from prismrec.models.knowledge.impressions import ImpressionBatch, ImpressionBatches
from prismrec.models.knowledge.kcnn import KCNN, EntityChannels
from prismrec.models.knowledge.news_beginning import NewsBeginning, begin_with
from prismrec.models.neural.arrays import arrays_of, fill
from prismrec.models.neural.contract import Objective
from prismrec.models.neural.made_once import MadeOnce
from prismrec.models.neural.negatives import negative_draws
from prismrec.models.neural.unseen import UnseenItems

_TITLES_AT_ONCE = 1024
_TAUGHT_CANDIDATES = 48
"""Candidates of a batch that equation (5) looks at for each of its histories."""
_NUMBERS_AT_ONCE = 8_000_000
"""Hidden units that scoring holds in memory: 32 MB."""


class Halves(NamedTuple):
    """What articles add to the hidden layers, each (n, hidden): as clicked and as candidate, in H and in G."""

    clicked: torch.Tensor
    candidate: torch.Tensor
    user: torch.Tensor
    item: torch.Tensor

    def rows(self, places: torch.Tensor) -> Halves:
        """Those of some articles."""
        return Halves(*(half[places] for half in self))


class DKNNetwork(nn.Module):
    """Titles to vectors, and vectors of clicks and candidates to click scores."""

    def __init__(self, config: DKNConfig, beginning: NewsBeginning) -> None:
        super().__init__()
        words, entities = (torch.from_numpy(np.array(v)) for v in (beginning.words, beginning.entities))
        graph = [torch.from_numpy(a.astype(np.int64)) for a in (beginning.values, beginning.offsets)]
        parts, dim = config.parts, config.embedding_dim
        channels = EntityChannels(entities, graph[0], graph[1], parts.mapping, dim)
        self.titles = KCNN(words, channels, parts.channels, config.windows, config.filters)
        self.attends = parts.attention
        hidden, width = config.hidden_dim, self.titles.dim
        self.attention_in = nn.Parameter(torch.empty(2, width, hidden))
        self.attention_bias = nn.Parameter(torch.zeros(hidden))
        self.attention_out = nn.Parameter(torch.empty(hidden))
        self.click_in = nn.Parameter(torch.empty(2, width, hidden))
        self.click_bias = nn.Parameter(torch.zeros(hidden))
        self.click_out = nn.Parameter(torch.empty(hidden))
        self.click_shift = nn.Parameter(torch.zeros(()))
        self.queries = nn.Parameter(torch.empty(width, hidden))
        self.targets = nn.Parameter(torch.zeros(width, hidden))
        self.target_bias = nn.Parameter(torch.zeros(width))
        if not config.vectors.trained:
            self.titles.words.requires_grad_(False)
            channels.vectors.requires_grad_(False)

    def initialise(self, generator: torch.Generator) -> None:
        """Normal with deviation 1 / sqrt(inputs), twice the variance before a relu."""
        begun = {"titles.words", "titles.entities.vectors", "targets"}
        for name, parameter in self.named_parameters():
            if name not in begun and parameter.ndim and not name.endswith(("bias", "shift")):
                inputs = parameter.shape[-2] if parameter.ndim > 1 else len(parameter)
                nn.init.normal_(parameter, std=(2 / inputs) ** 0.5, generator=generator)

    def halves(self, vectors: torch.Tensor) -> Halves:
        """The products of the first layers, biases with the candidate's."""
        return Halves(
            vectors @ self.attention_in[0],
            vectors @ self.attention_in[1] + self.attention_bias,
            vectors @ self.click_in[0],
            vectors @ self.click_in[1] + self.click_bias,
        )

    def scores(self, clicked: Halves, seen: torch.Tensor, candidates: Halves) -> torch.Tensor:
        """(B, C) logits of equation (3).

        Args:
            clicked: of the clicks of each row, (B, H, hidden) each.
            seen: (B, H) bool: which of them count; where none does, e(u) is zero.
            candidates: (B, C, hidden) each.
        """
        if self.attends:
            layer = torch.relu(clicked.clicked[:, None] + candidates.candidate[:, :, None])  # (B, C, H, hidden)
            logits = (layer @ self.attention_out).masked_fill(~seen[:, None], -torch.inf)
            shares = torch.softmax(logits, dim=2).masked_fill(~seen[:, None], 0.0)
            shares = torch.where(seen.any(1)[:, None, None], shares, 0.0)
        else:
            shares = (seen / seen.sum(1, keepdim=True).clamp(min=1))[:, None]
        users = shares.to(clicked.user.dtype) @ clicked.user  # (B, C or 1, hidden)
        return torch.relu(users + candidates.item) @ self.click_out + self.click_shift

    def products(self, means: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
        """(B, C): equation (5) from (B, F) mean clicks and (C, F) candidates."""
        return (means @ self.queries) @ (vectors @ self.targets).T + vectors @ self.target_bias

    def means(self, vectors: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
        """(B, F): mean_k e(t_k) from (B, H, F), zero where none is seen."""
        return (vectors * seen[:, :, None]).sum(1) / seen.sum(1).clamp(min=1)[:, None]


class DKNEncoder:
    """A `QueryEncoder`, `CandidateScorer` and `ItemReader` from the network and the vectors of articles."""

    def __init__(
        self, network: DKNNetwork, config: DKNConfig, reader: ArticleReader, vectors: NDArray[np.float32]
    ) -> None:
        """Bind network and articles."""
        self._network = network.eval()
        self._config = config
        self._reader = reader
        self._vectors = torch.from_numpy(np.array(vectors)).to(network.click_out.device)
        with torch.inference_mode():
            self._halves = network.halves(self._vectors)

    @classmethod
    def opened(cls, config: Mapping[str, Any], arrays: Mapping[str, NDArray]) -> Self:
        """From what `DKN.stored` gave."""
        settings = DKNConfig.model_validate(config)
        own = {name.removeprefix("network."): a for name, a in arrays.items() if name.startswith("network.")}
        read = {name.removeprefix("reader."): a for name, a in arrays.items() if name.startswith("reader.")}
        beginning = NewsBeginning(
            own["titles.words"], own["titles.entities.vectors"], arrays["neighbours"], arrays["neighbour_offsets"]
        )
        network = DKNNetwork(settings, beginning)
        fill(network, own)
        return cls(network, settings, ArticleReader.opened(settings.text, read), arrays["articles"])

    def encode(self, histories: Sequences, users: NDArray[np.int64]) -> NDArray[np.float32]:
        """(n_queries, hidden + 1) float32: q(u), and 1 for the bias; zero without a history. Users are not known."""
        found = np.zeros((len(histories), self._config.hidden_dim + 1), np.float32)
        asked = np.flatnonzero(histories.lengths > 0)
        at_once = max(1, _NUMBERS_AT_ONCE // (self._config.max_history * self._vectors.shape[1]))
        with torch.inference_mode():
            for begin in range(0, len(asked), at_once):
                rows = asked[begin : begin + at_once]
                clicked, seen = self._latest(histories.take(rows))
                means = self._network.means(self._vectors[clicked], seen)
                found[rows, :-1] = (means @ self._network.queries).float().cpu().numpy()
                found[rows, -1] = 1.0
        return found

    def score_candidates(
        self, histories: Sequences, users: NDArray[np.int64], candidates: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """(n_queries, n_candidates) float32: the logits of equation (3); zero for a query without a history."""
        found = np.zeros(candidates.shape, np.float32)
        width = self._config.max_history * self._config.hidden_dim
        n_columns = max(1, min(candidates.shape[1], _NUMBERS_AT_ONCE // width))
        n_rows = max(1, _NUMBERS_AT_ONCE // (width * n_columns))
        asked = np.flatnonzero(histories.lengths > 0)
        with torch.inference_mode():
            for begin in range(0, len(asked), n_rows):
                rows = asked[begin : begin + n_rows]
                places, seen = self._latest(histories.take(rows))
                clicked = self._halves.rows(places)
                for first in range(0, candidates.shape[1], n_columns):
                    columns = slice(first, first + n_columns)
                    own = torch.from_numpy(candidates[rows, columns]).to(places.device)
                    scores = self._network.scores(clicked, seen, self._halves.rows(own))
                    found[rows, columns] = scores.float().cpu().numpy()
        return found

    def with_items(self, items: Sequence[Mapping[str, Any]]) -> DKNEncoder:
        """The same encoder, with articles behind its own, each the columns of the item table that it has."""
        vectors = np.concatenate([self._vectors.cpu().numpy(), self._read(items)])
        return DKNEncoder(self._network, self._config, self._reader, vectors)

    def vectors_of(self, items: Sequence[Mapping[str, Any]]) -> EmbeddingTable:
        """Vectors of such articles."""
        return table_of(self._network, torch.from_numpy(self._read(items)).to(self._vectors.device))

    def _read(self, items: Sequence[Mapping[str, Any]]) -> NDArray[np.float32]:
        return article_vectors(self._network, self._reader.read_rows(items))

    def _latest(self, histories: Sequences) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, H) the latest clicks of each row, 0 where there are none, and which places are clicks."""
        kept = np.minimum(histories.lengths, self._config.max_history)
        places = np.arange(max(1, int(kept.max(initial=0))))
        seen = places < kept[:, None]
        positions = (histories.offsets[1:] - kept)[:, None] + places
        clicked = np.where(seen, histories.values[np.where(seen, positions, 0)], 0).astype(np.int64)
        device = self._vectors.device
        return torch.from_numpy(clicked).to(device), torch.from_numpy(seen).to(device)


class DKN:
    """A deep knowledge-aware network; a `NeuralModel`."""

    def __init__(self, config: DKNConfig, data: PreparedData, *, seed: int, device: str) -> None:
        """A fresh network for the articles of `data`.

        Raises:
            DataError: the item table has no titles, or there are no clicks.
            ConfigError: the settings of text or vectors do not fit the data.
        """
        self._config = config
        self._reader, self._articles, self._beginning = begin_with(config, data, seed)
        draws = negative_draws(config.negatives, data, UnseenItems(data.histories, len(data.items)))
        self._batches = ImpressionBatches(data, draws, config.n_negatives, config.max_history, config.batch_size, seed)
        self.network = DKNNetwork(config, self._beginning)
        self.network.initialise(torch.Generator().manual_seed(seed))
        self.network.to(device)
        self._device = device
        self._vectors = MadeOnce(self.network, lambda: article_vectors(self.network, self._articles))

    @property
    def learning_rate(self) -> float:
        """Of Adam."""
        return self._config.learning_rate

    @property
    def steps_per_epoch(self) -> int:
        """Batches that go once over all rows."""
        return self._batches.n_batches

    def objective(self, epoch: int, step: int) -> Objective:
        """Equations (4) and (5) on one batch."""
        batch = self._batches.batch(epoch, step)
        vectors = self.network.titles(*tensors_of(self._articles.take(batch.articles), self._device))
        halves = self.network.halves(vectors)
        (labels,) = self._tensors(batch.labels)
        click = F.binary_cross_entropy_with_logits(self._logits(halves, batch), labels)
        retrieval = self._retrieval(vectors.detach(), Halves(*(half.detach() for half in halves)), batch)
        n = len(batch.labels)
        told = {name: float(loss.detach()) * n for name, loss in (("click", click), ("retrieval", retrieval))}
        return Objective(click + retrieval, {name: TaskLoss(total, n) for name, total in told.items()})

    def _logits(self, halves: Halves, batch: ImpressionBatch) -> torch.Tensor:
        """(B,) float32: equation (3)."""
        clicked, group, candidates, seen = self._tensors(
            batch.clicked.clip(min=0), batch.group, batch.candidates, batch.seen
        )
        scores = self.network.scores(halves.rows(clicked[group]), seen, halves.rows(candidates[:, None]))
        return scores[:, 0].float()

    def _retrieval(self, vectors: torch.Tensor, halves: Halves, batch: ImpressionBatch) -> torch.Tensor:
        """Equation (5): every history of the batch with some of its candidates; the mean of a history says nothing."""
        stride = -(-len(batch.candidates) // _TAUGHT_CANDIDATES)
        clicked, candidates = self._tensors(batch.clicked, batch.candidates[::stride])
        seen, clicked = clicked != UNKNOWN, clicked.clamp(min=0)
        network = self.network
        with torch.no_grad():
            wanted = network.scores(halves.rows(clicked), seen, halves.rows(candidates[None])).float()
        products = network.products(network.means(vectors[clicked], seen), vectors[candidates]).float()
        off = products - wanted
        return (off - off.mean(1, keepdim=True)).square().mean()

    def _tensors(self, *arrays: NDArray) -> tuple[torch.Tensor, ...]:
        return tuple(torch.from_numpy(np.ascontiguousarray(array)).to(self._device) for array in arrays)

    def task_weights(self) -> Mapping[str, float]:
        """Equations (4) and (5), which share no parameter."""
        return {"click": 1.0, "retrieval": 1.0}

    def table(self) -> EmbeddingTable:
        """The two sides of the product of equation (5)."""
        with torch.inference_mode():
            return table_of(self.network, torch.from_numpy(self._vectors.get()).to(self._device))

    def encoder(self) -> DKNEncoder:
        """A copy of the network as it is now."""
        stored = self.stored()
        return DKNEncoder.opened(stored.config, stored.arrays)

    def stored(self) -> StoredEncoder:
        """The network, the vectors of articles, and what new articles are read with."""
        arrays = {
            **{f"network.{name}": array for name, array in arrays_of(self.network).items()},
            **{f"reader.{name}": array for name, array in self._reader.arrays().items()},
            "neighbours": self._beginning.values,
            "neighbour_offsets": self._beginning.offsets,
            "articles": self._vectors.get(),
        }
        return StoredEncoder("dkn", self._config.model_dump(mode="json"), arrays, knows_users=False)


def article_vectors(network: DKNNetwork, articles: Articles) -> NDArray[np.float32]:
    """(n, F) float32: e(t) of all articles, some at a time."""
    found = np.zeros((len(articles), network.titles.dim), np.float32)
    with torch.inference_mode():
        for begin in range(0, len(found), _TITLES_AT_ONCE):
            rows = np.arange(begin, min(begin + _TITLES_AT_ONCE, len(found)))
            inputs = tensors_of(articles.take(rows), network.click_out.device)
            found[rows] = network.titles(*inputs).cpu().numpy()
    return found


def tensors_of(articles: Articles, device: torch.device | str) -> tuple[torch.Tensor, ...]:
    """What `KCNN` reads: words, entities and lengths, int64."""
    arrays = (articles.words.values, articles.entities, articles.words.lengths)
    return tuple(torch.from_numpy(array.astype(np.int64)).to(device) for array in arrays)


def table_of(network: DKNNetwork, vectors: torch.Tensor) -> EmbeddingTable:
    """Sources: the queries of those who clicked one article; targets: what they meet."""
    with torch.inference_mode():
        ones = torch.ones(len(vectors), 1, device=vectors.device)
        source = torch.cat([vectors @ network.queries, ones], dim=1)
        target = torch.cat([vectors @ network.targets, (vectors @ network.target_bias)[:, None]], dim=1)
        return EmbeddingTable(source.float().cpu().numpy(), target.float().cpu().numpy())


__all__ = ["DKN", "DKNEncoder"]
