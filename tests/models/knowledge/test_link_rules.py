"""Links without vectors: shares and confidences by hand, and that a planted rule is found."""

import numpy as np
import pytest

from prismrec.models.knowledge.link_rules import LinkPopularity, LinkRules


def scores(model, side, known, relation):
    return model.score_links(side, np.array([known]), np.array([relation]))[0]


def test_popularity_is_the_share_of_the_relations_triples(make_graph):
    model = LinkPopularity(make_graph(4, [(0, 0, 1), (2, 0, 1), (0, 0, 3), (0, 1, 2)]))
    np.testing.assert_allclose(scores(model, "tail", 3, 0), [0, 2 / 3, 0, 1 / 3], rtol=1e-6)
    np.testing.assert_allclose(scores(model, "head", 3, 0), [2 / 3, 0, 1 / 3, 0], rtol=1e-6)
    np.testing.assert_allclose(scores(model, "tail", 0, 1), [0, 0, 1, 0])


@pytest.fixture
def ruled(make_graph):
    """Of three pairs that `a` links, `b` links two; of two that `b` links, `c` links one the other way round."""
    return make_graph(8, [(0, 0, 1), (2, 0, 3), (4, 0, 5), (0, 1, 1), (2, 1, 3), (3, 2, 2)], ("a", "b", "c"))


def test_confidence_is_the_share_of_pairs_that_have_both(ruled):
    """(4, a, 5) says (4, b, 5) with 2 of 3; of `b` 5 is no tail: nothing for ties."""
    found = scores(LinkRules(ruled), "tail", 4, 1)
    assert found[5] == pytest.approx(2 / 3)
    assert found.argmax() == 5
    np.testing.assert_allclose(found[[1, 3]], 0.001 / 2, rtol=1e-5)


def test_rule_leads_back_to_the_head_too(ruled):
    assert scores(LinkRules(ruled), "head", 5, 1)[4] == pytest.approx(2 / 3)


def test_rules_hold_with_both_ends_exchanged(ruled):
    """(0, b, 1) says (1, c, 0) with 1 of 2, (0, a, 1) with 1 of 3: the best counts."""
    assert scores(LinkRules(ruled), "tail", 1, 2)[0] == pytest.approx(1 / 2)
    assert scores(LinkRules(ruled), "head", 0, 2)[1] == pytest.approx(1 / 2)


def test_triple_does_not_follow_from_itself_but_from_its_mirror(make_graph):
    model = LinkRules(make_graph(6, [(0, 0, 1), (1, 0, 0), (2, 0, 3), (4, 0, 4)], ("same",)))
    assert scores(model, "tail", 2, 0)[3] == pytest.approx(0.001 / 4)
    assert scores(model, "tail", 3, 0)[2] == pytest.approx(3 / 4), "two of three pairs, and the loop, have their mirror"


def test_unknown_entity_and_relation_without_triples_score_by_popularity(make_graph):
    model = LinkRules(make_graph(4, [(0, 0, 1)], ("a", "b")))
    np.testing.assert_allclose(scores(model, "tail", 3, 0), [0, 0.001, 0, 0], rtol=1e-6)
    assert not scores(model, "tail", 3, 1).any()


def test_several_queries_score_as_one_by_one(ruled):
    model = LinkRules(ruled)
    known, relations = np.array([4, 1, 0, 4]), np.array([1, 2, 0, 0])
    for side in ("head", "tail"):
        many = model.score_links(side, known, relations)
        assert many.dtype == np.float32
        for row in range(4):
            np.testing.assert_array_equal(many[row], scores(model, side, known[row], relations[row]))
