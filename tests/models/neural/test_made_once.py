"""What is made of a network is made anew when a parameter changed, and only then."""

import torch

from prismrec.models.neural.made_once import MadeOnce


def test_it_is_made_once_until_a_parameter_changes_in_place():
    network, made = torch.nn.Linear(2, 1), []

    def total():
        assert not torch.is_grad_enabled()
        made.append(float(sum(p.sum() for p in network.parameters())))
        return made[-1]

    once = MadeOnce(network, total)
    assert made == []
    assert [once.get(), once.get()] == made * 2
    with torch.no_grad():
        network.bias.add_(3.0)
    assert once.get() == made[1] != made[0]
    network.load_state_dict({name: torch.zeros_like(value) for name, value in network.state_dict().items()})
    assert [once.get(), once.get()] == [0.0, 0.0]
    assert len(made) == 3


def test_a_step_of_adam_is_a_change():
    network = torch.nn.Linear(2, 1)
    once = MadeOnce(network, lambda: network.weight.clone())
    before = once.get()
    torch.optim.Adam(network.parameters()).zero_grad()
    network(torch.ones(1, 2)).sum().backward()
    torch.optim.Adam(network.parameters()).step()
    assert not torch.equal(once.get(), before)
