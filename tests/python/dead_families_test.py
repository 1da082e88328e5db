"""What is claimed of the maps that read a norm, and which maps are seen to."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn
from torch.nn import functional

from deadray.modules.dead_parameters import dead_parameters
from moving import Small, X, movement

torch.set_num_threads(1)


def families(model: Small) -> dict[str, tuple[str, int]]:
    claimed = dead_parameters(model, X)
    for dead in claimed:
        for tangent in itertools.islice(dead.directions(seed=4), 1):
            assert movement(model, X, tangent) < 1e-12
    return {dead.consumer: (dead.family, dead.count) for dead in claimed}


def free() -> nn.Linear:
    return nn.Linear(4, 3, bias=False)


def test_families():
    def one(m, h):
        return m.a(h)

    def both(m, h):
        return m.a(h), m.b(h)

    bias = nn.Linear(4, 3)
    assert families(Small(one, a=bias)) == {"a": ("weight_and_bias", 3)}
    assert families(Small(one, a=free(), beta=[0.0] * 4)) == {"a": ("weight", 3)}
    assert families(Small(one, a=free())) == {"a": ("weight_and_beta", 4)}
    shared = {"a": ("weight_and_beta", 4), "b": ("weight_and_beta", 0)}
    assert families(Small(both, a=free(), b=free())) == shared
    mixed = {"a": ("weight_and_bias", 3), "b": ("weight_and_beta", 4)}
    assert families(Small(both, a=nn.Linear(4, 3), b=free())) == mixed


def test_zero_scales_give_a_direction_each():
    def one(m, h):
        return m.a(h)

    gamma = [0.0, 1.0, 0.0, 2.0]
    assert families(Small(one, gamma, a=nn.Linear(4, 3))) == {"a": ("weight_and_bias", 6)}
    assert families(Small(one, gamma, [0.0] * 4, a=free())) == {"a": ("weight", 6)}
    # The shifts of the two give one combination whose constant is 0.
    assert families(Small(one, gamma, a=free())) == {"a": ("weight_and_beta", 3 + 4)}


OBSTACLES = {
    "the stream": lambda m, h: m.a(h) + h[..., :3],
    "the user": lambda m, h: (m.a(h), h),
    "a change in place": lambda m, h: (m.a(h), h.mul_(2)),
    "another function": lambda m, h: (m.a(h), h.sin()),
    "a tied weight": lambda m, h: (m.a(h), functional.embedding(torch.tensor([1]), m.a.weight)),
}


@pytest.mark.parametrize("what", OBSTACLES)
def test_a_shift_of_beta_that_reaches_more_is_not_claimed(what):
    assert families(Small(OBSTACLES[what], a=free())) == {"a": ("none", 0)}


NO_ROWS = {
    "changed in place before": lambda m, h: m.a(h.mul_(2).add_(1)),
    "dropped out": lambda m, h: m.a(functional.dropout(h, 0.5, training=True)),
    "padded": lambda m, h: m.a(functional.pad(h, (0, 0, 0, 1))),
    "cut across rows": lambda m, h: m.a(h.flatten()[2:-2].reshape(-1, 4)),
    "added": lambda m, h: m.a(h + 1),
}


@pytest.mark.parametrize("what", NO_ROWS)
def test_what_does_not_read_the_rows_of_a_norm_is_no_consumer(what):
    assert families(Small(NO_ROWS[what], a=nn.Linear(4, 3))) == {}


ROWS = {
    "a view": lambda m, h: m.a(h[:, 0]),
    "chosen rows": lambda m, h: m.a(h[torch.arange(5) % 2 == 0]),
    "rolled": lambda m, h: m.a(torch.roll(h, 1, 1).transpose(0, 1).contiguous().flatten(0, 1)),
    "twice": lambda m, h: m.a(h) + m.a(m.norm(h)),
    "a product": lambda m, h: torch.addmm(m.a.bias, h.reshape(-1, 4), m.t.weight),
}


@pytest.mark.parametrize("what", ROWS)
def test_rows_are_followed_through_what_moves_them(what):
    model = Small(ROWS[what], a=nn.Linear(4, 3), t=nn.Linear(3, 4, bias=False))
    name = "t" if what == "a product" else "a"
    assert families(model) == {name: ("weight_and_bias", 3)}


def test_a_map_that_reads_more_than_the_norm_is_not_claimed():
    model = Small(lambda m, h: m.a(h) + m.a(h.cos()), a=nn.Linear(4, 3))
    assert families(model) == {"a": ("none", 0)}
