"""SSR-NET, the spatial-spectral reconstruction network.

X. Zhang, W. Huang, Q. Wang, X. Li, "SSR-NET: Spatial-Spectral Reconstruction Network for Hyperspectral and
Multispectral Image Fusion", IEEE Transactions on Geoscience and Remote Sensing 59(7), 2021.
Official code: hw2hwei/SSRNET on GitHub, without a licence, so none of it is here; network, insertion rule,
initialisation (torch's defaults) and edge losses were re-derived from it.

Differences:

- The official network owns one scalar parameter that nothing reads; it is left out (one parameter fewer).
- The official loss is one of this method's losses (`loss="authors"`), so that it can be trained by plain L1 too.
- The official script trains on values in 0..255. The network maps scaled inputs to scaled outputs but for its biases,
  so [0,1] is kept here.
- The official script keeps the checkpoint that is best on the test crop, and trains on LR-HSIs made by another
  operator (every r-th pixel) than the tested ones (blur); both belong to the protocol, not to the network.
- MSI bands go into the HSI in the order given. In the official data they are bands of the HSI in ascending order, so
  an MSI is best given in order of wavelength.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from smifbench.method import LOSSES, FusionMethod, Recipe
from smifbench.problem import FusionProblem


class SSRNet(FusionMethod):
    """MSI bands overwrite bands of the enlarged HSI; three 3x3 convolutions fuse, then sharpen, then correct spectra.

    Outputs are never negative, as they are sums of rectified features; there is no skip from the enlarged HSI. The
    width of every layer is the number of bands, so there is nothing to make narrower.
    """

    title = "SSR-NET"
    citation = "zhang2021ssrnet"
    losses = (*LOSSES, "authors")
    recipe = Recipe(loss="authors", lr=1e-4, batch=1, patch=128, steps=10_000)

    inserted: Tensor
    positions: Tensor

    def __init__(self, problem: FusionProblem) -> None:
        super().__init__(problem)
        self.halo = 1 + math.ceil(3 / problem.ratio)  # bilinear enlargement, three 3x3 convolutions
        msi_band_at = _insertion(problem.bands, problem.msi_bands)
        self.register_buffer("inserted", torch.tensor(list(msi_band_at.values())), persistent=False)
        self.register_buffer("positions", torch.tensor(list(msi_band_at)), persistent=False)
        self.fusion = nn.Conv2d(problem.bands, problem.bands, 3, padding=1)
        self.spatial = nn.Conv2d(problem.bands, problem.bands, 3, padding=1)
        self.spectral = nn.Conv2d(problem.bands, problem.bands, 3, padding=1)

    def forward(self, lr_hsi: Tensor, hr_msi: Tensor) -> Tensor:
        """Fuse (B, C, H/r, W/r) and (B, c, H, W) to (B, C, H, W), not negative."""
        return self._reconstruct(lr_hsi, hr_msi)[1]

    def training_loss(self, lr_hsi: Tensor, hr_msi: Tensor, hr_hsi: Tensor, loss: str = "l1") -> Tensor:
        """Scalar loss of a batch; `"authors"` adds to the MSE those of spatial and spectral differences.

        The spatial differences (down and right, half the weight each) are those of the image before the spectral
        convolution, the spectral ones those of the output.
        """
        if loss != "authors":
            return super().training_loss(lr_hsi, hr_msi, hr_hsi, loss)
        sharpened, fused = self._reconstruct(lr_hsi, hr_msi)
        spatial_error, error = sharpened - hr_hsi, fused - hr_hsi
        spatial_edges = 0.5 * (_edge_loss(spatial_error, -2) + _edge_loss(spatial_error, -1))
        return error.square().mean() + spatial_edges + _edge_loss(error, -3)

    def _reconstruct(self, lr_hsi: Tensor, hr_msi: Tensor) -> tuple[Tensor, Tensor]:
        """Return the image after the spatial convolution and the one after the spectral convolution."""
        mixed = F.interpolate(lr_hsi, size=hr_msi.shape[-2:], mode="bilinear", align_corners=False)
        mixed.index_copy_(1, self.positions, hr_msi[:, self.inserted].to(mixed.dtype))
        fused = self.fusion(mixed).relu_()
        sharpened = fused + self.spatial(fused).relu_()
        return sharpened, sharpened + self.spectral(sharpened).relu_()


def _insertion(bands: int, msi_bands: int) -> dict[int, int]:
    """Map each overwritten HSI band to the MSI band that it receives.

    The last MSI band becomes the last HSI band, the others begin equal stretches of the HSI. Where the HSI has fewer
    bands than the MSI, a position repeats and its last MSI band wins.
    """
    # The real quotient is the authors': from 15 MSI bands on it falls one band below integer division now and then.
    positions = [int(bands / (msi_bands - 1) * band) for band in range(msi_bands - 1)]
    return {position: band for band, position in enumerate([*positions, bands - 1])}


def _edge_loss(error: Tensor, dim: int) -> Tensor:
    """Mean squared difference of neighbours along `dim`; zero where there is only one."""
    # Differences are linear, so the MSE between two images' edges is the mean square of their error's edges.
    steps = error.diff(dim=dim)
    return steps.square().mean() if steps.numel() else error.new_zeros(())
