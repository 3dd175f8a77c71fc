"""Names to entities: which names are looked for, and what they mean beside other words."""

import math

import numpy as np
import pytest

from prismrec.data.news.linking import SMOOTHING, EntityLinker
from prismrec.data.news.mentions import Mention
from prismrec.data.news.words import words

STATE, GEORGE, APPLE = Mention("1", "Washington"), Mention("2", "Washington"), Mention("3", "Apple")
TITLES = [
    ("washington senate vote", [STATE]),
    ("washington senate budget", [STATE]),
    ("washington governor", [STATE]),
    ("washington revolution general", [GEORGE]),
    ("general washington army", [Mention("2", "George Washington")]),
    ("apple pie recipe", []),
    ("apple juice recipe", []),
    ("apple iphone", [APPLE]),
]


def learned(titles=TITLES, share=0.0, weight=1.0, names=()):
    return EntityLinker.learned([words(t) for t, _ in titles], [m for _, m in titles], share, weight, names)


def test_a_name_with_one_meaning_means_it_where_all_its_words_stand_together():
    linker = learned()
    assert linker.link(words("new apple iphone")) == (Mention("3", "apple"),)
    assert linker.link(words("george washington apple")) == (Mention("2", "george washington"), Mention("3", "apple"))
    assert linker.link(words("nothing here")) == ()


def test_popularity_decides_where_the_context_says_nothing():
    assert learned().link(["washington"]) == (Mention("1", "washington"),)
    assert learned(weight=0.0).link(words("washington revolution army")) == (Mention("1", "washington"),)


def test_context_outweighs_popularity():
    assert learned().link(words("washington revolution army")) == (Mention("2", "washington"),)


def test_scores_are_those_of_the_formula():
    linker = learned()
    name = linker._meanings.names.index("washington")
    counts = {"washington": 5, "senate": 2, "vote": 1, "budget": 1, "governor": 1, "revolution": 1, "general": 2,
              "army": 1, "apple": 3, "pie": 1, "recipe": 2, "juice": 1, "iphone": 1}  # fmt: skip
    total = sum(counts.values())
    of_george = {"revolution": 1, "general": 2, "army": 1}
    expected = 0.0
    for word in ("senate", "general"):
        p = counts[word] / total
        p_given = (of_george.get(word, 0) + SMOOTHING * p) / (sum(of_george.values()) + SMOOTHING)
        expected += math.log(p_given / p)
    beside = np.array([linker._word_index[word] for word in ("senate", "general")])
    assert linker._context(linker._meanings.entities.index("2"), beside) == pytest.approx(expected)
    begin, end = linker._meanings.of_name.offsets[name : name + 2]
    assert linker._meanings.counts[begin:end].tolist() == [3, 2]  # annotated once, and once what the title has of it


def test_an_entity_is_linked_once():
    assert learned().link(words("apple apple")) == (Mention("3", "apple"),)


def test_names_that_seldom_mean_an_entity_are_not_looked_for():
    titles = [*TITLES, ("apple pie and washington", [STATE]), ("sour apple with washington", [STATE])]
    linker = learned(titles)
    shares = dict(zip(linker._meanings.names, linker._meanings.shares, strict=True))
    assert shares["apple"] == pytest.approx(1 / 3)  # titles of which nothing is said do not count
    assert shares["washington"] == 1
    assert learned(titles, share=0.3).link(["apple"]) == (Mention("3", "apple"),)
    assert learned(titles, share=0.4).link(["apple"]) == ()


def test_a_list_of_names_finds_what_no_title_was_said_to_name():
    names = [Mention("9", "Pie"), Mention("1", "Evergreen State"), Mention("8", "Governor"), Mention("7", "!")]
    linker = learned(names=names, share=0.5)
    assert linker.link(words("evergreen state pie")) == (Mention("1", "evergreen state"), Mention("9", "pie"))
    assert linker.link(["governor"]) == ()  # a title has the word, and means no entity by it


def test_what_is_stored_opens_as_the_same_linker():
    linker = learned()
    opened = EntityLinker.opened({name: np.array(a) for name, a in linker.arrays().items()}, 0.0, 1.0)
    for title in ("washington revolution army", "george washington apple", "washington", ""):
        assert opened.link(words(title)) == linker.link(words(title))


def test_nothing_is_learned_from_nothing():
    linker = learned([])
    assert linker.link(["washington"]) == ()
    assert EntityLinker.opened(linker.arrays(), 0.0, 1.0).link(["washington"]) == ()
