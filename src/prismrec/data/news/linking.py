"""Names in titles as entities: a dictionary of names, and which entity a name with several meanings is in this title.

Learned from titles whose entities are known. A name is what an annotation or a list of names calls an entity, and what
the title has of it. It is looked for where it usually is a name (*link share*: of the titles that hold these words, how
many mean an entity by them), and means the entity e with the highest

    log (n(name, e) + 1) + w sum_{other words x of the title} log p(x | e) / p(x)           popularity, context
    p(x | e) = (n(x, e) + s p(x)) / (n(e) + s)                                              s = SMOOTHING

n(name, e): titles in which the name is e; n(x, e): titles of e that hold the word x beside it; n(e) = sum_x n(x, e).

Mihalcea & Csomai, CIKM 2007 (link share, called keyphraseness); Milne & Witten, CIKM 2008 (commonness, context).

Cost: learning is one pass over the titles; a title takes O(words + names found x meanings x words).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import log
from typing import Self

import numpy as np
from numpy.typing import NDArray

from prismrec.data.news.dictionary import NameTrie
from prismrec.data.news.mentions import Mention, entities_of_words
from prismrec.data.news.packing import pack, unpack
from prismrec.data.news.words import words
from prismrec.data.schema import UNKNOWN
from prismrec.data.sequences import Sequences

SMOOTHING = 10.0
"""Words that an entity is taken to have been beside before the first was counted."""

Title = Sequence[str]
Name = tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Meanings:
    """What names meant in the titles that were learned from.

    Attributes:
        names: each as its words, joined by blanks.
        entities: ids.
        of_name: one row per name: the entities that it meant, the most frequent first.
        counts: (n,) int64: in how many titles, for the values of `of_name`.
        shares: (n_names,) float64: link share.
    """

    names: tuple[str, ...]
    entities: tuple[str, ...]
    of_name: Sequences
    counts: NDArray[np.int64]
    shares: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Company:
    """Which words entities are beside.

    Attributes:
        words: all of them.
        word_counts: (n_words,) int64: titles that hold them.
        of_entity: one row per entity: the words that it was beside.
        counts: (n,) int64: in how many titles, for the values of `of_entity`.
    """

    words: tuple[str, ...]
    word_counts: NDArray[np.int64]
    of_entity: Sequences
    counts: NDArray[np.int64]


class EntityLinker:
    """Finds entities in titles by their names."""

    def __init__(self, meanings: Meanings, company: Company, min_link_share: float, context_weight: float) -> None:
        """Bind what was learned; names below the share are not looked for."""
        self._meanings = meanings
        self._company = company
        self._context_weight = context_weight
        self._sought = np.flatnonzero(meanings.shares >= min_link_share)
        self._trie = NameTrie(meanings.names[i].split() for i in self._sought)
        self._word_index = {word: index for index, word in enumerate(company.words)}

    @classmethod
    def learned(
        cls,
        titles: Sequence[Title],
        mentions: Sequence[Sequence[Mention]],
        min_link_share: float,
        context_weight: float,
        names: Sequence[Mention] = (),
    ) -> Self:
        """Learn from titles, each with the entities that it names.

        Args:
            titles: their words.
            mentions: of each title.
            min_link_share: link share from which a name is looked for.
            context_weight: w; 0 leaves popularity alone.
            names: entities and what they are called, beside what the mentions say.
        """
        known = sorted({entity for row in (*mentions, names) for entity, _ in row})
        places = {entity: place for place, entity in enumerate(known)}
        meant = _meant(titles, mentions)
        for entity, name in names:
            if words(name):
                meant.setdefault(words(name), Counter()).update({entity: 0})
        sought = sorted(meant)
        rows = [_by_frequency(meant[name], places) for name in sought]
        meanings = Meanings(
            names=tuple(" ".join(name) for name in sought),
            entities=tuple(known),
            of_name=Sequences.from_lists([[entity for entity, _ in row] for row in rows]),
            counts=np.array([n for row in rows for _, n in row], np.int64),
            shares=_link_shares([t for t, row in zip(titles, mentions, strict=True) if row], sought, meant),
        )
        return cls(meanings, _company(titles, mentions, places), min_link_share, context_weight)

    def link(self, title: Title) -> tuple[Mention, ...]:
        """The entities of a title, in the order of their names, each once."""
        found: dict[str, Mention] = {}
        for begin, end, number in self._trie.apart(title):
            others = [*title[:begin], *title[end:]]
            entity = self._meanings.entities[self._meaning(int(self._sought[number]), others)]
            found.setdefault(entity, Mention(entity, " ".join(title[begin:end])))
        return tuple(found.values())

    def arrays(self) -> dict[str, NDArray]:
        """What was learned, as plain arrays by name."""
        meanings, company = self._meanings, self._company
        return {
            **pack("names", meanings.names),
            **pack("name_entities", meanings.entities),
            **pack("company_words", company.words),
            "meaning_values": meanings.of_name.values,
            "meaning_offsets": meanings.of_name.offsets,
            "meaning_counts": meanings.counts,
            "link_shares": meanings.shares,
            "company_word_counts": company.word_counts,
            "company_values": company.of_entity.values,
            "company_offsets": company.of_entity.offsets,
            "company_counts": company.counts,
        }

    @classmethod
    def opened(cls, arrays: Mapping[str, NDArray], min_link_share: float, context_weight: float) -> Self:
        """From what `arrays` gave."""
        meanings = Meanings(
            unpack("names", arrays),
            unpack("name_entities", arrays),
            Sequences(arrays["meaning_values"], arrays["meaning_offsets"]),
            arrays["meaning_counts"],
            arrays["link_shares"],
        )
        company = Company(
            unpack("company_words", arrays),
            arrays["company_word_counts"],
            Sequences(arrays["company_values"], arrays["company_offsets"]),
            arrays["company_counts"],
        )
        return cls(meanings, company, min_link_share, context_weight)

    def _meaning(self, name: int, others: Title) -> int:
        """The place of the entity that a name means beside these words."""
        offsets = self._meanings.of_name.offsets
        entities, counts = self._meanings.of_name[name], self._meanings.counts[offsets[name] : offsets[name + 1]]
        if len(entities) == 1:
            return int(entities[0])
        beside = np.array([i for word in others if (i := self._word_index.get(word, UNKNOWN)) != UNKNOWN], np.int64)
        scores = [
            log(n + 1) + self._context_weight * self._context(int(e), beside)
            for e, n in zip(entities, counts, strict=True)
        ]
        return int(entities[int(np.argmax(scores))])

    def _context(self, entity: int, beside: NDArray[np.int64]) -> float:
        """sum_x log p(x | e) / p(x)."""
        company = self._company
        begin, end = company.of_entity.offsets[entity : entity + 2]
        row, counts = company.of_entity.values[begin:end], company.counts[begin:end]
        chances = company.word_counts[beside] / max(1, int(company.word_counts.sum()))
        together = np.array([counts[row == word].sum() for word in beside], np.float64)
        return float(np.log((together + SMOOTHING * chances) / (counts.sum() + SMOOTHING) / chances).sum())


def _meant(titles: Sequence[Title], mentions: Sequence[Sequence[Mention]]) -> dict[Name, Counter[str]]:
    """Of every name, what it meant and in how many titles."""
    meant: dict[Name, Counter[str]] = defaultdict(Counter)
    for title, row in zip(titles, mentions, strict=True):
        pairs = {(words(name), entity) for entity, name in row}
        places = entities_of_words(title, row)
        for place, run in groupby(range(len(title)), key=places.__getitem__):
            if place != UNKNOWN:
                pairs.add((tuple(title[i] for i in run), row[place].entity))
        for name, entity in sorted(pairs):
            if name:
                meant[name][entity] += 1
    return dict(meant)


def _by_frequency(counts: Counter[str], places: Mapping[str, int]) -> list[tuple[int, int]]:
    return sorted(((places[entity], n) for entity, n in counts.items()), key=lambda pair: (-pair[1], pair[0]))


def _link_shares(
    titles: Sequence[Title], names: Sequence[Name], meant: Mapping[Name, Counter[str]]
) -> NDArray[np.float64]:
    """Of the titles that hold a name's words, how many mean an entity by them; 1 where none holds them.

    Args:
        titles: those whose entities are known.
    """
    trie = NameTrie(names)
    held = np.zeros(len(names), np.int64)
    for title in titles:
        held[list({occurrence.name for occurrence in trie.occurrences(title)})] += 1
    linked = np.array([meant[name].total() for name in names], np.int64)
    return np.where(held > 0, np.minimum(linked / np.maximum(held, 1), 1.0), 1.0)


def _company(titles: Sequence[Title], mentions: Sequence[Sequence[Mention]], places: Mapping[str, int]) -> Company:
    held = Counter(word for title in titles for word in set(title))
    known = sorted(held)
    index = {word: place for place, word in enumerate(known)}
    beside: list[Counter[int]] = [Counter() for _ in places]
    for title, row in zip(titles, mentions, strict=True):
        own = entities_of_words(title, row)
        for number, (entity, _) in enumerate(row):
            others = {index[word] for word, place in zip(title, own, strict=True) if place != number}
            beside[places[entity]].update(others)
    rows = [sorted(counter) for counter in beside]
    counts = [counter[word] for counter, row in zip(beside, rows, strict=True) for word in row]
    return Company(
        tuple(known),
        np.array([held[word] for word in known], np.int64),
        Sequences.from_lists([np.array(row, np.int32) for row in rows]),
        np.array(counts, np.int64),
    )


__all__ = ["SMOOTHING", "Company", "EntityLinker", "Meanings"]
