"""Subspaces and extreme pixels of a hyperspectral image, as more than one solver takes them."""

import torch
from torch import Tensor


def principal_axes(pixels: Tensor, count: int) -> Tensor:
    """Leading eigenvectors (bands, count) of the second moments; the largest entry of each is positive."""
    axes = torch.linalg.eigh(pixels @ pixels.T / pixels.shape[1])[1].flip(1)[:, :count]
    return axes * axes.gather(0, axes.abs().argmax(0, keepdim=True)).sign()


def lifted(projected: Tensor) -> Tensor:
    """Append to coordinates (axes, pixels) about the mean a further one, alike for all and as large as the largest."""
    farthest = torch.linalg.vector_norm(projected, dim=0).max()
    return torch.cat([projected, farthest.expand(1, projected.shape[1])])


def farthest_pixels(simplex: Tensor, generator: torch.Generator) -> list[int]:
    """As many columns of (members, pixels) as it has rows, each the farthest in a random direction off those before.

    They are the vertices of vertex component analysis; the generator draws on the CPU.
    """
    members = len(simplex)
    vertices = simplex.new_zeros(members, members)
    vertices[-1, 0] = 1
    picks = []
    for member in range(members):
        direction = torch.rand(members, generator=generator, dtype=torch.float64).to(simplex)
        direction = direction - vertices @ (torch.linalg.pinv(vertices) @ direction)
        picks.append(int((direction @ simplex).abs().argmax()))
        vertices[:, member] = simplex[:, picks[-1]]
    return picks
