"""Seven formulas, each against its paper's equation written out in numpy, and products against pairs."""

import numpy as np
import pytest
from numpy.linalg import norm

torch = pytest.importorskip("torch")

from prismrec.graphs.triple_answers import SIDES  # noqa: E402
from prismrec.models.knowledge.translation_scores import SCORES, Products  # noqa: E402

DIM, N, R, B = 6, 7, 3, 5


def transe(h, r, t):
    return -(norm(h["entity"] + r["relation"] - t["entity"]) ** 2)


def transh(h, r, t):
    w = r["normal"] / norm(r["normal"])
    head, tail = (e["entity"] - w.dot(e["entity"]) * w for e in (h, t))
    return -(norm(head + r["relation"] - tail) ** 2)


def transr(h, r, t):
    return -(norm(r["matrix"] @ h["entity"] + r["relation"] - r["matrix"] @ t["entity"]) ** 2)


def transd(h, r, t):
    """M = r_p e_p^T + I, equation 12 of the paper."""
    head, tail = (
        (np.outer(r["relation_projection"], e["entity_projection"]) + np.eye(DIM)) @ e["entity"] for e in (h, t)
    )
    return -(norm(head + r["relation"] - tail) ** 2)


def rescal(h, r, t):
    return h["entity"] @ r["matrix"] @ t["entity"]


def distmult(h, r, t):
    return h["entity"] @ np.diag(r["relation"]) @ t["entity"]


def complex_(h, r, t):
    h, r, t = (v[: DIM // 2] + 1j * v[DIM // 2 :] for v in (h["entity"], r["relation"], t["entity"]))
    return (h * r * t.conj()).sum().real


SLOW = {
    "transe": transe, "transh": transh, "transr": transr, "transd": transd, "rescal": rescal, "distmult": distmult,
    "complex": complex_,
}  # fmt: skip


@pytest.fixture(params=list(SCORES))
def name(request):
    return request.param


def tables(name, seed=0):
    """Entities, relations, and B triples of them; relation 1 is in no triple, and their order is no order."""
    score, generator = SCORES[name], torch.Generator().manual_seed(seed)
    entities = {table: torch.randn(N, DIM, generator=generator) for table in score.entity_tables}
    relations = {t: torch.randn(R, *shape, generator=generator) for t, shape in score.relation_shapes(DIM).items()}
    return (
        entities,
        relations,
        torch.tensor([0, 3, 6, 1, 3]),
        torch.tensor([2, 0, 2, 2, 0]),
        torch.tensor([1, 1, 2, 0, 5]),
    )


def rows(part, places):
    return {name: table[places] for name, table in part.items()}


def as_numpy(part, place):
    return {name: table[place].double().numpy() for name, table in part.items()}


def test_every_model_has_a_slow_version():
    assert set(SLOW) == set(SCORES)


def test_pairs_are_the_formula_of_the_paper(name):
    entities, relations, heads, which, tails = tables(name)
    found = SCORES[name].pairs(rows(entities, heads), relations, which, rows(entities, tails))
    slow = [
        SLOW[name](as_numpy(entities, h), as_numpy(relations, r), as_numpy(entities, t))
        for h, r, t in zip(heads, which, tails, strict=True)
    ]
    np.testing.assert_allclose(found.numpy(), slow, rtol=2e-5, atol=1e-5)


@pytest.mark.parametrize("side", SIDES)
def test_products_score_every_entity_as_its_pair_does(name, side):
    entities, relations, heads, which, tails = tables(name)
    score = SCORES[name]
    known = rows(entities, heads if side == "tail" else tails)
    found = score.products(side, known, relations, which, entities).scores(which)
    assert found.shape == (B, N)
    for candidate in range(N):
        others = torch.full((B,), candidate)
        ends = (rows(entities, heads), rows(entities, others))
        if side == "head":
            ends = (rows(entities, others), rows(entities, tails))
        np.testing.assert_allclose(
            found[:, candidate].numpy(), score.pairs(ends[0], relations, which, ends[1]).numpy(), rtol=1e-4, atol=1e-4
        )


def test_gradients_of_products_are_those_of_pairs(name):
    """Of the sum over all tails, by every table."""
    entities, relations, heads, which, _ = tables(name)
    gradients = []
    for by_products in (True, False):
        leaves = [{k: v.clone().requires_grad_() for k, v in part.items()} for part in (entities, relations)]
        known = rows(leaves[0], heads)
        if by_products:
            SCORES[name].products("tail", known, leaves[1], which, leaves[0]).scores(which).sum().backward()
        else:
            sum(
                SCORES[name].pairs(known, leaves[1], which, rows(leaves[0], torch.full((B,), t))).sum()
                for t in range(N)
            ).backward()
        gradients.append({k: leaf.grad for part in leaves for k, leaf in part.items()})
    for table in gradients[0]:
        np.testing.assert_allclose(gradients[0][table].numpy(), gradients[1][table].numpy(), rtol=1e-3, atol=1e-3)


def test_hand_computed_scores():
    """h = (1, 2), r = (3, -1), t = (0, 1): |(4, 0)|^2; 1 3 0 + 2 (-1) 1; (1 + 2i) (3 - i) (-i) = 5 - 5i."""
    h, t = ({"entity": torch.tensor([v])} for v in ([1.0, 2.0], [0.0, 1.0]))
    r, which = {"relation": torch.tensor([[3.0, -1.0]])}, torch.tensor([0])
    assert SCORES["transe"].pairs(h, r, which, t).item() == -16
    assert SCORES["distmult"].pairs(h, r, which, t).item() == -2
    assert SCORES["complex"].pairs(h, r, which, t).item() == 5


def test_distmult_knows_no_direction_and_complex_does():
    for name, directed in (("distmult", False), ("complex", True)):
        entities, relations, heads, which, tails = tables(name)
        there, back = (
            SCORES[name].pairs(rows(entities, a), relations, which, rows(entities, b))
            for a, b in ((heads, tails), (tails, heads))
        )
        assert torch.allclose(there, back, atol=1e-5) is not directed


def test_products_without_constants_and_offsets_are_products():
    queries, targets = torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 4.0], [0.0, 1.0]])
    assert Products(queries, targets).scores(torch.tensor([0])).tolist() == [[11.0, 2.0]]
