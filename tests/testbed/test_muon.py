"""The optimiser of the weak model's matrices."""

import pytest

from testbed.muon import Muon, orthogonalized

torch = pytest.importorskip("torch")


@pytest.mark.parametrize("shape", [(3, 16, 16), (2, 8, 24), (2, 24, 8)])
def test_directions_are_nearly_orthogonal(shape: tuple[int, int, int]) -> None:
    """Whatever the gradient's size, the singular values of its direction are around 1."""
    torch.manual_seed(1)
    for size in (1e-4, 1.0, 1e4):
        values = torch.linalg.svdvals(orthogonalized(size * torch.randn(shape)))
        assert values.min() > 0.3
        assert values.max() < 1.3


def test_a_step_is_the_one_that_torch_takes() -> None:
    """Same moves as torch's Muon, up to its bfloat16."""
    torch.manual_seed(2)
    ours = torch.nn.Parameter(torch.randn(24, 8))
    theirs = torch.nn.Parameter(ours.detach().clone())
    muon = Muon([ours], rate=0.02)
    reference = torch.optim.Muon([theirs], lr=0.02, weight_decay=0.0, adjust_lr_fn="original")
    for _ in range(3):
        ours.grad = torch.randn(24, 8)
        theirs.grad = ours.grad.clone()
        muon.step(factor=1.0)
        reference.step()
    assert torch.allclose(ours, theirs, atol=0.01)
    assert ours.grad is None


def test_a_step_needs_a_gradient() -> None:
    """A forgotten backward pass is an error, not a step of nothing."""
    with pytest.raises(AssertionError, match="backward"):
        Muon([torch.nn.Parameter(torch.ones(2, 2))], rate=0.1).step(factor=1.0)
