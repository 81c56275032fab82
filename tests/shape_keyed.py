"""Weights and inputs that depend on shapes alone, so that two implementations of one network can be compared.

A parameter's values follow from its shape without ones and from whether its last name part is `weight`; an input's from
its channel count and size. The golden files of the authors' networks were made with the same rule.
"""

import zlib

import numpy as np
import torch
from torch import Tensor, nn


def fill(model: nn.Module) -> nn.Module:
    """Overwrite every parameter of `model` by its shape-keyed value and return the model."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            sides = [side for side in parameter.shape if side != 1]
            generator = np.random.RandomState(zlib.crc32("x".join(map(str, sides)).encode() or b"scalar"))
            values = generator.standard_normal(parameter.numel()).reshape(tuple(parameter.shape))
            if len(sides) > 1:
                values /= np.sqrt(max(1, parameter.numel() // parameter.shape[0]))
            else:
                values = 0.1 * values + (name.split(".")[-1] == "weight")
            parameter.copy_(torch.from_numpy(values))
    return model


def inputs(bands: int, msi_bands: int, size: int, ratio: int, batch: int = 1) -> tuple[Tensor, Tensor]:
    """Uniform float64 images in [0,1]: (batch, bands, size/ratio, size/ratio) and (batch, msi_bands, size, size)."""
    return (
        _uniform(f"lr-{bands}-{size // ratio}", (batch, bands, size // ratio, size // ratio)),
        _uniform(f"msi-{msi_bands}-{size}", (batch, msi_bands, size, size)),
    )


def _uniform(key: str, shape: tuple[int, ...]) -> Tensor:
    generator = np.random.RandomState(zlib.crc32(key.encode()))
    return torch.from_numpy(generator.random_sample(shape))
