"""Where names occur in a title: all of them at once, in time linear in its words (Aho & Corasick, 1975).

A trie holds the names word by word. Each of its nodes knows the longest proper end of its path that begins some name:
where a title leaves the trie, the search goes on there, and no word is read twice. Of names that overlap, the one that
begins first counts, and of those that begin together the longest: `new york times` is not `new york`.

Cost: memory O(words of all names); a search O(words of the title + occurrences).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from prismrec.errors import DataError

_ROOT = 0
_NONE = -1


class Occurrence(NamedTuple):
    """Words begin..end of a title are a name."""

    begin: int
    end: int
    name: int


class NameTrie:
    """Finds names, each a sequence of words, in titles."""

    def __init__(self, names: Iterable[Sequence[str]]) -> None:
        """Build the automaton; a name is called by its number.

        Raises:
            DataError: a name has no word, or is there twice.
        """
        self._next: list[dict[str, int]] = [{}]
        self._names: list[int] = [_NONE]
        self._lengths: list[int] = []
        for number, name in enumerate(names):
            self._add(number, tuple(name))
        self._fallback, self._shorter = self._linked()

    def _add(self, number: int, name: tuple[str, ...]) -> None:
        if not name:
            raise DataError(f"name {number} has no word")
        node = _ROOT
        for word in name:
            if word not in self._next[node]:
                self._next[node][word] = len(self._next)
                self._next.append({})
                self._names.append(_NONE)
            node = self._next[node][word]
        if self._names[node] != _NONE:
            raise DataError(f"the name {' '.join(name)!r} is there twice")
        self._names[node] = number
        self._lengths.append(len(name))

    def _linked(self) -> tuple[list[int], list[int]]:
        """Of every node: the longest end of its path that is a path too; and the longest such end that is a name."""
        fallback, shorter = [_ROOT] * len(self._next), [_ROOT] * len(self._next)
        waiting = deque(self._next[_ROOT].values())
        while waiting:
            node = waiting.popleft()
            for word, child in self._next[node].items():
                fallback[child] = self._step(fallback[node], word, fallback)
                end = fallback[child]
                shorter[child] = end if self._names[end] != _NONE else shorter[end]
                waiting.append(child)
        return fallback, shorter

    def _step(self, node: int, word: str, fallback: Sequence[int]) -> int:
        while node != _ROOT and word not in self._next[node]:
            node = fallback[node]
        return self._next[node].get(word, _ROOT)

    def occurrences(self, title: Sequence[str]) -> list[Occurrence]:
        """All places at which a name is found, those that overlap too, by their end and the longest first."""
        found, node = [], _ROOT
        for place, word in enumerate(title):
            node = self._step(node, word, self._fallback)
            end = node if self._names[node] != _NONE else self._shorter[node]
            while end != _ROOT:
                number = self._names[end]
                found.append(Occurrence(place + 1 - self._lengths[number], place + 1, number))
                end = self._shorter[end]
        return found

    def apart(self, title: Sequence[str]) -> list[Occurrence]:
        """Occurrences that do not overlap: from the left, and the longest of those that begin together."""
        chosen: list[Occurrence] = []
        for one in sorted(self.occurrences(title), key=lambda o: (o.begin, -o.end)):
            if not chosen or one.begin >= chosen[-1].end:
                chosen.append(one)
        return chosen


__all__ = ["NameTrie", "Occurrence"]
