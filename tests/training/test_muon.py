"""Muon: the laws of its step, and AdamW's step where a weight is no matrix."""

import pytest
import torch

from smifbench.training.muon import STEP, Muon


def stepped(weight, gradient, optimizer=Muon, **settings):
    """Take one step from `weight` along `gradient`."""
    weight = torch.nn.Parameter(weight.clone())
    run = optimizer([weight], **{"lr": 0.1, "weight_decay": 0.0} | settings)
    weight.grad = gradient.clone()
    run.step()
    return weight.detach()


@pytest.mark.parametrize("shape", [(6, 40), (40, 6), (8, 8), (6, 4, 3, 3)])
def test_a_step_is_as_long_in_every_direction_of_a_kernel(shape):
    gradient = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    step = -stepped(torch.zeros(shape), gradient).flatten(1) / (0.1 * STEP)
    lengths = torch.linalg.svdvals(step) / max(step.shape) ** 0.5
    assert lengths.min() > 0.6
    assert lengths.max() < 1.3
    u, s, v = torch.linalg.svd(gradient.flatten(1), full_matrices=False)
    assert s.max() / s.min() > 1.4
    assert torch.nn.functional.cosine_similarity(step.flatten(), (u @ v).flatten(), 0) > 0.98


def test_a_step_is_the_same_for_any_scale_of_the_loss_and_for_any_memory_order():
    gradient = torch.randn(5, 4, 3, 3, generator=torch.Generator().manual_seed(1))
    step = stepped(torch.zeros(5, 4, 3, 3), gradient)
    assert torch.allclose(stepped(torch.zeros(5, 4, 3, 3), 1e-6 * gradient), step, atol=1e-6)
    order = {"memory_format": torch.channels_last}
    assert torch.equal(stepped(torch.zeros(5, 4, 3, 3).contiguous(**order), gradient.contiguous(**order)), step)


def test_no_gradient_is_no_step():
    weight = torch.ones(3, 4)
    assert torch.equal(stepped(weight, torch.zeros(3, 4)), weight)
    assert torch.equal(stepped(weight, torch.zeros(3, 4), weight_decay=0.5), 0.95 * weight)


def test_biases_are_stepped_by_adamw():
    weight, gradient = torch.arange(4.0), torch.tensor([1.0, -2.0, 0.5, 3.0])
    settings = {"weight_decay": 0.3}
    assert torch.equal(stepped(weight, gradient, **settings), stepped(weight, gradient, torch.optim.AdamW, **settings))


def test_a_saved_state_goes_on_as_the_optimizer_would():
    generator = torch.Generator().manual_seed(2)
    gradients = [torch.randn(3, 4, generator=generator) for _ in range(3)]

    def steps(weight, run, gradients):
        for gradient in gradients:
            weight.grad = gradient.clone()
            run.step()

    whole = torch.nn.Parameter(torch.zeros(3, 4))
    steps(whole, Muon([whole]), gradients)
    weight = torch.nn.Parameter(torch.zeros(3, 4))
    first = Muon([weight])
    steps(weight, first, gradients[:2])
    second = Muon([weight])
    second.load_state_dict(first.state_dict())
    steps(weight, second, gradients[2:])
    assert torch.equal(weight, whole)
