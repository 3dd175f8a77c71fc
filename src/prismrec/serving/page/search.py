"""Items by the beginnings of the words of their names, for a search box that answers while one types.

Names are folded (case, accents, punctuation) once; their distinct words, sorted, make a prefix a range found by binary
search, and a range of words a run of item indices. What no word begins with is looked for inside the names, which also
serves scripts that do not part words.

Order: the id itself, then the whole name, names that hold all words of the query whole, names with words that begin so,
and where there are none, names that hold it anywhere; within each the most clicked first, equal ones by index.
"""

from __future__ import annotations

import bisect
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from prismrec.data.schema import UNKNOWN
from prismrec.data.vocabulary import Vocabulary

_LETTERS = {"ß": "ss", "æ": "ae", "œ": "oe", "ø": "o", "đ": "d", "ð": "d", "þ": "th", "ł": "l", "ı": "i", "ς": "σ"}
"""Letters that Unicode does not decompose, and what people type for them."""

_LAST = "\U0010ffff"
_INSIDE, _PREFIXES, _WORDS, _NAME, _ID = range(5)


class Hit(NamedTuple):
    """An item that was found.

    Attributes:
        item_index: which.
        quality: how well it matches; higher is better.
        n_clicks: in training.
    """

    item_index: int
    quality: int
    n_clicks: int


@dataclass(frozen=True, eq=False)
class ItemSearch:
    """An index over the names and ids of n items.

    Attributes:
        names: (n,) folded names.
        lines: the folded names as lines of UTF-8, the most clicked item first.
        ends: (n,) int64: where the lines end.
        words: (w,) distinct words of names and ids, sorted.
        starts: (w + 1,) int64: where the run of each word begins in `postings`.
        postings: item indices, word by word.
        popularity: (n,) int64: place of each item when the least clicked comes first; equal counts, later index first.
        vocabulary: the ids; its order is that of the items.
    """

    names: pa.Array
    lines: bytes
    ends: NDArray[np.int64]
    words: pa.Array
    starts: NDArray[np.int64]
    postings: NDArray[np.int64]
    popularity: NDArray[np.int64]
    vocabulary: Vocabulary

    @classmethod
    def of(cls, names: pa.Array, vocabulary: Vocabulary) -> ItemSearch:
        """Index the items.

        Args:
            names: (n,) text; a missing name is looked up by its id alone.
            vocabulary: their ids and counts, in the same order.
        """
        plain = folded(names)
        texts = pc.binary_join_element_wise(plain, folded(id_texts(vocabulary.ids)), " ")
        lists = pc.split_pattern(texts, " ")
        coded = lists.flatten().dictionary_encode()
        order = pc.sort_indices(coded.dictionary).to_numpy()
        rank = np.empty(len(order), np.int64)
        rank[order] = np.arange(len(order))
        ranks = rank[coded.indices.to_numpy()]
        items = pc.list_parent_indices(lists).to_numpy()
        n = len(vocabulary)
        popularity = np.empty(n, np.int64)
        popularity[np.lexsort((-np.arange(n), vocabulary.counts))] = np.arange(n)
        lines = pc.binary_join_element_wise(plain.take(pa.array(np.argsort(-popularity))), "", "\n")
        return cls(
            names=plain,
            lines="".join(lines.to_pylist()).encode(),
            ends=np.cumsum(pc.binary_length(lines).to_numpy()).astype(np.int64),
            words=coded.dictionary.take(pa.array(order)),
            starts=np.concatenate([[0], np.cumsum(np.bincount(ranks, minlength=len(order)))]),
            postings=items[np.argsort(ranks, kind="stable")].astype(np.int64),
            popularity=popularity,
            vocabulary=vocabulary,
        )

    def find(self, query: str, limit: int, hidden: Collection[int] = ()) -> list[Hit]:
        """At most `limit` items, best first; the most clicked ones where the query has no letter or digit.

        Args:
            query: what was typed.
            limit: how many.
            hidden: indices that are not found.
        """
        words = folded_text(query).split()
        if not words:
            shown = (index for index in self._by_popularity.tolist() if index not in hidden)
            return [Hit(index, _INSIDE, int(self.vocabulary.counts[index])) for index in islice(shown, limit)]
        quality = np.full(len(self.names), -1, np.int64)
        self._rate_words(quality, words)
        exact = self.vocabulary.find(self.vocabulary.parsed(query.strip()))
        if exact != UNKNOWN:
            quality[exact] = _ID
        quality[list(hidden)] = -1
        found = np.flatnonzero(quality >= 0)
        return self._best(quality, found, limit) if len(found) else self._inside(" ".join(words), limit, hidden)

    def _rate_words(self, quality: NDArray[np.int64], words: list[str]) -> None:
        """Mark the items for which every word of the query begins a word."""
        prefixes = np.ones(len(quality), bool)
        whole = np.ones(len(quality), bool)
        for word in words:
            first = self._place(word)
            prefixes &= self._with_words(first, self._place(word + _LAST))
            is_word = first < len(self.words) and self.words[first].as_py() == word
            whole &= self._with_words(first, first + is_word)
        quality[prefixes] = _PREFIXES
        quality[whole] = _WORDS
        quality[np.asarray(pc.equal(self.names, " ".join(words)))] = _NAME

    def _inside(self, text: str, limit: int, hidden: Collection[int]) -> list[Hit]:
        """The first lines that hold the text: no more is read than is answered."""
        sought, start = text.encode(), 0
        found: list[Hit] = []
        while len(found) < limit and (at := self.lines.find(sought, start)) >= 0:
            place = int(np.searchsorted(self.ends, at, side="right"))
            index, start = int(self._by_popularity[place]), int(self.ends[place])
            if index not in hidden:
                found.append(Hit(index, _INSIDE, int(self.vocabulary.counts[index])))
        return found

    @cached_property
    def _by_popularity(self) -> NDArray[np.int64]:
        return np.argsort(-self.popularity).astype(np.int64)

    def _place(self, word: str) -> int:
        return bisect.bisect_left(range(len(self.words)), word, key=lambda place: self.words[place].as_py())

    def _with_words(self, first: int, stop: int) -> NDArray[np.bool_]:
        mask = np.zeros(len(self.names), bool)
        mask[self.postings[self.starts[first] : self.starts[stop]]] = True
        return mask

    def _best(self, quality: NDArray[np.int64], found: NDArray[np.int64], limit: int) -> list[Hit]:
        """The best of the items found, without sorting the rest."""
        keys = quality[found] * len(quality) + self.popularity[found]
        if len(found) > limit:
            kept = np.argpartition(-keys, limit - 1)[:limit]
            found, keys = found[kept], keys[kept]
        best = found[np.argsort(-keys)].tolist()
        return [Hit(index, int(quality[index]), int(self.vocabulary.counts[index])) for index in best]


def folded(texts: pa.Array) -> pa.Array:
    """Text as search compares it: small letters without accents, words parted by one space; missing is empty.

    >>> folded(pa.array(["Crème  FRAÎCHE, 200-ml", None])).to_pylist()
    ['creme fraiche 200 ml', '']
    """
    plain = pc.replace_substring_regex(pc.utf8_normalize(texts.cast(pa.string()), form="NFKD"), r"\p{Mn}+", "")
    plain = pc.utf8_lower(plain)
    for letter, typed in _LETTERS.items():
        plain = pc.replace_substring(plain, letter, typed)
    plain = pc.utf8_trim(pc.replace_substring_regex(plain, r"[^\p{L}\p{N}]+", " "), " ")
    return plain.fill_null("")


def folded_text(text: str) -> str:
    """One text as search compares it."""
    whole = text.encode("utf-8", "replace").decode()  # half a character is none
    return str(folded(pa.array([whole]))[0].as_py())


def id_texts(ids: pa.Array) -> pa.Array:
    """(n,) text: the ids as a person reads and types them."""
    if pa.types.is_fixed_size_binary(ids.type):
        return pa.array([str(value) for value in Vocabulary(ids, np.zeros(len(ids), np.int64)).ids_of(range(len(ids)))])
    return ids.cast(pa.string())


__all__ = ["Hit", "ItemSearch", "folded", "folded_text", "id_texts"]
