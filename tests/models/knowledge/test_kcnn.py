"""KCNN: titles word by word, against loops over windows."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from prismrec.models.knowledge.kcnn import KCNN, EntityChannels  # noqa: E402

DIM, N_WORDS, N_ENTITIES, K = 3, 9, 5, 4
NEIGHBOURS = [[1, 3], [0], [], [0], [4, 1, 0]]
TITLES = [([1, 4, 2, 8, 3], [-1, 0, 0, -1, 4]), ([5], [2]), ([], []), ([6, 7], [-1, 3]), ([0, 0, 1], [1, -1, 2])]
WINDOWS = (1, 2, 3)


def made(channels="both", mapping="nonlinear", windows=WINDOWS, filters=4, k=K):
    generator = torch.Generator().manual_seed(2)
    values = torch.tensor([n for row in NEIGHBOURS for n in row])
    offsets = torch.tensor(np.concatenate([[0], np.cumsum([len(row) for row in NEIGHBOURS])]))
    entities = EntityChannels(torch.randn(N_ENTITIES, k, generator=generator), values, offsets, mapping, DIM)
    net = KCNN(torch.randn(N_WORDS, DIM, generator=generator), entities, channels, windows, filters)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.normal_(generator=generator)
    return net


def inputs(titles):
    words = torch.tensor([w for row, _ in titles for w in row], dtype=torch.int64)
    entities = torch.tensor([e for _, row in titles for e in row], dtype=torch.int64)
    return words, entities, torch.tensor([len(row) for row, _ in titles], dtype=torch.int64)


def mapped(net, vector):
    channels = net.entities
    if channels.mapping == "none":
        return vector
    found = channels.matrix.detach().numpy() @ vector + channels.shift.detach().numpy()
    return np.tanh(found) if channels.mapping == "nonlinear" else found


def placed(net, word, entity):
    """Equations (1) and (2) for one place."""
    table = net.entities.vectors.detach().numpy()
    parts = [net.words.detach().numpy()[word]]
    if net.channels in ("both", "entity"):
        parts.append(np.zeros(DIM) if entity < 0 else mapped(net, table[entity]))
    if net.channels in ("both", "context"):
        alone = entity < 0 or not NEIGHBOURS[entity]
        parts.append(np.zeros(DIM) if alone else mapped(net, table[NEIGHBOURS[entity]].mean(0)))
    return np.concatenate(parts)


def by_loops(net, words, entities):
    """Equations (3) and (4) for one title."""
    if not words:
        return np.zeros(net.dim)
    x = [placed(net, *pair) for pair in zip(words, entities, strict=True)]
    weights, bias = net.filters.detach().numpy(), net.bias.detach().numpy()
    found, column = [], 0
    for number, width in enumerate(net.windows):
        parts = [weights[:, column + o * net.n_filters : column + (o + 1) * net.n_filters] for o in range(width)]
        column += width * net.n_filters
        begins = range(max(1, len(x) - width + 1))
        sums = [sum(x[b + o] @ parts[o] for o in range(width) if b + o < len(x)) + bias[number] for b in begins]
        found.append(np.maximum(np.max(sums, axis=0), 0))
    return np.concatenate(found)


@pytest.mark.parametrize("channels", ["both", "entity", "context", "none"])
@pytest.mark.parametrize("mapping", ["nonlinear", "linear"])
def test_titles_are_what_the_equations_say(channels, mapping):
    net = made(channels, mapping)
    vectors = net(*inputs(TITLES)).detach().numpy()
    assert vectors.dtype == np.float32
    for vector, title in zip(vectors, TITLES, strict=True):
        np.testing.assert_allclose(vector, by_loops(net, *title), rtol=1e-4, atol=1e-5)


def test_without_a_map_entities_are_channels_as_they_are():
    net = made(mapping="none", k=DIM)
    for vector, title in zip(net(*inputs(TITLES)).detach().numpy(), TITLES, strict=True):
        np.testing.assert_allclose(vector, by_loops(net, *title), rtol=1e-4, atol=1e-5)
    assert not any(name.startswith("entities.matrix") for name, _ in net.named_parameters())


def test_windows_may_be_wider_than_every_title():
    net = made(windows=(4, 7))
    for vector, title in zip(net(*inputs(TITLES)).detach().numpy(), TITLES, strict=True):
        np.testing.assert_allclose(vector, by_loops(net, *title), rtol=1e-4, atol=1e-5)


def test_a_title_is_the_same_alone_and_beside_others():
    net = made()
    together = net(*inputs(TITLES))
    for row, title in enumerate(TITLES):
        torch.testing.assert_close(net(*inputs([title]))[0], together[row])
    assert net(*inputs([])).shape == (0, net.dim)


def test_gradients_are_those_of_finite_differences():
    net = made(filters=2).double()
    words, entities, lengths = inputs(TITLES)
    parameters = [p.detach().requires_grad_() for p in net.parameters()]
    names = [name for name, _ in net.named_parameters()]
    weights = torch.randn(len(TITLES), net.dim, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def loss(*values):
        made_of = dict(zip(names, values, strict=True))
        return (torch.func.functional_call(net, made_of, (words, entities, lengths)) * weights).sum()

    analytic = torch.autograd.grad(loss(*parameters), parameters)
    for number, (name, gradient) in enumerate(zip(names, analytic, strict=True)):
        moved = [p.detach().clone() for p in parameters]
        direction = torch.randn(moved[number].shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        step = 1e-3  # products are rounded to 32 bits before the maximum
        moved[number] += step * direction
        ahead = loss(*moved)
        moved[number] -= 2 * step * direction
        slope = float(ahead - loss(*moved)) / (2 * step)
        assert float((gradient * direction).sum()) == pytest.approx(slope, rel=0.02, abs=0.02), name


def test_a_title_without_words_or_entities_sends_no_gradient_that_is_not_finite():
    net = made()
    net(*inputs([([], []), ([1], [-1]), ([2], [2])])).sum().backward()
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in net.parameters())
