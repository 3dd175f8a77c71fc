"""Titles as words: unicode in one form, no case, no punctuation; a genitive is the word it belongs to.

>>> words("Donald Trump’s ﬁrst 100 days: U.S. awaits")
('donald', 'trump', 'first', '100', 'days', 'u', 's', 'awaits')
"""

from __future__ import annotations

import re
from unicodedata import normalize

_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")
_APOSTROPHES = str.maketrans({"’": "'", "ʼ": "'", "`": "'"})
_GENITIVE = "'s"


def words(text: str) -> tuple[str, ...]:
    """The words of a title or of a name, in their order; none where there is no letter and no digit.

    Letters of all scripts count. A script that writes no blanks between words gives one word per run of letters: such
    titles are cut into words before.
    """
    plain = normalize("NFKC", text).translate(_APOSTROPHES).casefold()
    return tuple(word.removesuffix(_GENITIVE) for word in _WORD.findall(plain))


__all__ = ["words"]
