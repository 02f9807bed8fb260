"""Muon, the optimiser for the matrices of the weak model, in float32.

The one that torch ships computes in bfloat16, which takes ten times as long on processors that
have no instructions for it. Source: Jordan et al., "Muon" (2024), coefficients as published.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Parameter

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
ITERATIONS = 5


def orthogonalized(matrices: "Tensor") -> "Tensor":
    """The nearest orthogonal matrices, roughly: singular values end up around 1.

    Args:
        matrices: A stack, count by rows by columns.

    Returns:
        A stack of the same shape.
    """
    wide: Tensor = matrices if matrices.size(1) <= matrices.size(2) else matrices.mT
    wide = wide / wide.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    first, second, third = COEFFICIENTS
    for _ in range(ITERATIONS):
        square = wide @ wide.mT
        wide = first * wide + (second * square + third * square @ square) @ wide
    if matrices.size(1) > matrices.size(2):
        wide = wide.mT
    return wide


class Muon:
    """Momentum, made orthogonal, as the direction of every step."""

    def __init__(self, matrices: Sequence["Parameter"], *, rate: float, momentum: float = 0.95):
        """Take charge of the matrices.

        Args:
            matrices: Parameters of two dimensions.
            rate: Length of a step, in units of an orthogonal matrix.
            momentum: How much of the past stays in the direction.
        """
        import torch

        self._rate, self._momentum = rate, momentum
        by_shape: dict[tuple[int, ...], list[Parameter]] = defaultdict(list)
        for matrix in matrices:
            by_shape[tuple(matrix.shape)].append(matrix)
        self._groups = [
            (group, torch.zeros(len(group), *shape)) for shape, group in by_shape.items()
        ]

    def step(self, *, factor: float) -> None:
        """Move every matrix by its gradient, at `factor` times the rate, and drop the gradient."""
        import torch

        with torch.no_grad():
            for group, past in self._groups:
                gradients = torch.stack([_taken_gradient(matrix) for matrix in group])
                past.lerp_(gradients, 1 - self._momentum)
                ahead = gradients.lerp(past, self._momentum)
                length = max(1.0, past.size(1) / past.size(2)) ** 0.5
                moves = orthogonalized(ahead) * (-self._rate * factor * length)
                for matrix, move in zip(group, moves, strict=True):
                    matrix.add_(move)


def _taken_gradient(matrix: "Parameter") -> "Tensor":
    gradient, matrix.grad = matrix.grad, None
    assert gradient is not None, "a step needs a backward pass before it"
    return gradient
