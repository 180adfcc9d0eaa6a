"""Stacked optimisers against torch.optim, one trial at a time."""

from __future__ import annotations

import pytest
import torch

from mglib.trials.optimisers import SGD, Adam


@pytest.mark.parametrize(("ours", "theirs"), [(Adam, torch.optim.Adam), (SGD, torch.optim.SGD)])
def test_equals_torch_at_each_trials_own_rates(ours, theirs):
    g = torch.Generator().manual_seed(0)
    lr, decay = torch.tensor([1e-3, 3e-2, 0.1]), torch.tensor([0.0, 1e-2, 0.3])
    stacked = [torch.randn(3, 4, 5, generator=g), torch.randn(3, 1, 5, generator=g)]
    single = [[p[t].clone().requires_grad_() for p in stacked] for t in range(3)]
    optimiser = ours(stacked, decay)
    references = [
        theirs(p, lr=lr[t].item(), weight_decay=decay[t].item()) for t, p in enumerate(single)
    ]
    for _ in range(25):
        gradients = [torch.randn(p.shape, generator=g) for p in stacked]
        optimiser.step(gradients, lr)
        for t, reference in enumerate(references):
            for parameter, gradient in zip(single[t], gradients, strict=True):
                parameter.grad = gradient[t].clone()
            reference.step()
    for t in range(3):
        for a, b in zip(stacked, single[t], strict=True):
            torch.testing.assert_close(a[t], b.detach(), rtol=1e-5, atol=1e-6)


def test_adam_first_step_is_the_learning_rate_in_the_gradients_direction():
    parameter = torch.zeros(2, 3)
    gradient = torch.tensor([[5.0, -2, 9]] * 2)
    Adam([parameter], torch.zeros(2)).step([gradient], torch.tensor([0.1, 0.01]))
    torch.testing.assert_close(parameter, torch.tensor([[-0.1, 0.1, -0.1], [-0.01, 0.01, -0.01]]))
