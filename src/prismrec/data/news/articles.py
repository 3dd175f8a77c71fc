"""Articles as rows of words and entities: what a model of news reads.

`ArticleReader.learned` looks at the articles of training and fixes which words and entities there are; `read` then
makes rows of those articles and of any that come later, so that a new article needs no training to be read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from prismrec.data.news.linking import EntityLinker
from prismrec.data.news.mentions import Mention, entities_of_words, read_mentions
from prismrec.data.news.packing import pack, unpack
from prismrec.data.news.settings import NewsSettings
from prismrec.data.news.words import words
from prismrec.data.schema import UNKNOWN
from prismrec.data.sequences import Sequences, ragged_positions
from prismrec.errors import DataError


@dataclass(frozen=True, eq=False)
class Articles:
    """What titles say, in indices.

    Attributes:
        words: one row per article: its known words in their order; an unknown word is left out.
        entities: (n_words,) int32: the entity that each of these words is of, -1 where none.
    """

    words: Sequences
    entities: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.words)

    def take(self, rows: NDArray[np.int64]) -> Articles:
        """Some of them, in the given order."""
        positions = ragged_positions(self.words.offsets[rows], self.words.lengths[rows])
        return Articles(self.words.take(rows), self.entities[positions])


class ArticleReader:
    """Makes rows of words and entities from titles and what is said of the entities in them."""

    def __init__(
        self, settings: NewsSettings, known_words: Sequence[str], entities: Sequence[str], linker: EntityLinker
    ) -> None:
        """Bind what was learned; see `learned`."""
        self.settings = settings
        self.words = tuple(known_words)
        self.entities = tuple(entities)
        self._linker = linker
        self._word_index = {word: index for index, word in enumerate(self.words)}
        self._entity_index = {entity: index for index, entity in enumerate(self.entities)}

    @classmethod
    def learned(cls, settings: NewsSettings, columns: pa.Table, names: Sequence[Mention] = ()) -> Self:
        """Fix the words and entities of some articles.

        Args:
            columns: their rows of the item table.
            names: entities and what they are called, beside what annotations say: the labels of a graph.

        Raises:
            DataError: there is no column with titles, they have no words, or too few of any, or annotations are not
                readable.
        """
        titles, given = _texts(settings, columns)
        named = [words(title) for title in titles]
        mentions = [read_mentions(text) for text in given]
        linker = EntityLinker.learned(named, mentions, settings.min_link_share, settings.context_weight, names)
        held = Counter(word for title in named for word in set(title))
        if not held:
            raise DataError(f"no title in the column {settings.title!r} of the item table has a word")
        frequent = _frequent(held, settings.min_word_count)
        if not frequent:
            raise DataError(
                f"no word is in {settings.min_word_count} titles of the column {settings.title!r}: lower min_word_count"
            )
        reader = cls(settings, frequent, (), linker)
        found = Counter(e for title, row in zip(named, mentions, strict=True) for e in reader._entities(title, row))
        return cls(settings, reader.words, _frequent(found, settings.min_entity_count), linker)

    def knowing(self, entities: Iterable[str]) -> ArticleReader:
        """The same with more entities behind its own, those that it has left out."""
        known = list(dict.fromkeys([*self.entities, *entities]))
        return ArticleReader(self.settings, self.words, known, self._linker)

    def mentions(self, columns: pa.Table) -> list[tuple[Mention, ...]]:
        """The entities of articles by the settings: given, found by their names, or both.

        Raises:
            DataError: as for `learned`.
        """
        titles, given = _texts(self.settings, columns)
        return [self._linked(words(title), read_mentions(text)) for title, text in zip(titles, given, strict=True)]

    def read(self, columns: pa.Table) -> Articles:
        """Rows of words and entities of any articles.

        Raises:
            DataError: as for `learned`.
        """
        titles, given = _texts(self.settings, columns)
        rows = [self._row(words(title), read_mentions(text)) for title, text in zip(titles, given, strict=True)]
        flat = [entity for _, entities in rows for entity in entities]
        return Articles(Sequences.from_lists([row for row, _ in rows]), np.array(flat, np.int32))

    def read_rows(self, items: Sequence[Mapping[str, Any]]) -> Articles:
        """The same of articles that come one by one, each with its columns; a column that lacks is empty."""
        names = [name for name in (self.settings.title, self.settings.annotations) if name]
        return self.read(pa.table({name: pa.array([i.get(name) for i in items], pa.string()) for name in names}))

    def arrays(self) -> dict[str, NDArray]:
        """What was learned, as plain arrays by name."""
        return {**pack("words", self.words), **pack("entities", self.entities), **self._linker.arrays()}

    @classmethod
    def opened(cls, settings: NewsSettings, arrays: Mapping[str, NDArray]) -> Self:
        """From what `arrays` gave."""
        linker = EntityLinker.opened(arrays, settings.min_link_share, settings.context_weight)
        return cls(settings, unpack("words", arrays), unpack("entities", arrays), linker)

    def _linked(self, title: tuple[str, ...], given: tuple[Mention, ...]) -> tuple[Mention, ...]:
        if self.settings.linking == "dictionary" or (self.settings.linking == "both" and not given):
            return self._linker.link(title)
        return given

    def _entities(self, title: tuple[str, ...], given: tuple[Mention, ...]) -> set[str]:
        return {entity for entity, _ in self._linked(title, given)}

    def _row(self, title: tuple[str, ...], given: tuple[Mention, ...]) -> tuple[list[int], list[int]]:
        mentions = self._linked(title, given)
        indices = [self._entity_index.get(entity, UNKNOWN) for entity, _ in mentions]
        places = entities_of_words(title, mentions)
        known = [
            (index, UNKNOWN if place == UNKNOWN else indices[place])
            for word, place in zip(title, places, strict=True)
            if (index := self._word_index.get(word, UNKNOWN)) != UNKNOWN
        ][: self.settings.max_words]
        return [word for word, _ in known], [entity for _, entity in known]


def _texts(settings: NewsSettings, columns: pa.Table) -> tuple[list[str], list[str | None]]:
    """Titles, empty where there is none, and what is said of their entities."""
    if settings.title not in columns.column_names:
        raise DataError(
            f"the item table has no column {settings.title!r} with titles; it has "
            f"{', '.join(columns.column_names) or 'none'}: name it in the settings of the text"
        )
    titles = [title or "" for title in columns[settings.title].cast(pa.string()).to_pylist()]
    if not settings.annotations or settings.annotations not in columns.column_names:
        return titles, [None] * len(titles)
    return titles, columns[settings.annotations].cast(pa.string()).to_pylist()


def _frequent(counts: Counter[str], least: int) -> list[str]:
    """Those counted often enough, the most frequent first, then by text."""
    return sorted((text for text, n in counts.items() if n >= least), key=lambda text: (-counts[text], text))


__all__ = ["ArticleReader", "Articles"]
