"""Methods that solve, with the PSF and the response estimated from the images instead of taken from the problem."""

from dataclasses import replace

import torch
from torch import Tensor

from smifbench.degradation.estimation import estimate
from smifbench.method import FusionMethod
from smifbench.problem import FusionProblem


class Blind(FusionMethod):
    """Estimates PSF, response, gains and offsets of each image pair, and then fuses it with a method that solves.

    Parameters
    ----------
    method
        Class of the method.
    problem
        Band counts, ratio and wavelengths; its PSF and response are ignored.
    options
        Options of the method's constructor.
    """

    trainable = False

    def __init__(self, method: type[FusionMethod], problem: FusionProblem, options: dict) -> None:
        super().__init__(problem)
        self.method, self.options = method, options
        self.title, self.citation = method.title, method.citation

    @torch.no_grad()
    def forward(self, lr_hsi: Tensor, hr_msi: Tensor) -> Tensor:
        """Fuse a batch; raises UserError where nothing can be estimated from one of its pairs."""
        return torch.cat([self._solve(*pair) for pair in zip(lr_hsi, hr_msi, strict=True)])

    def _solve(self, lr_hsi: Tensor, hr_msi: Tensor) -> Tensor:
        msi = hr_msi.cpu().numpy()
        operators = estimate(lr_hsi.cpu().numpy(), msi, self.problem.ratio)
        method = self.method(replace(self.problem, psf=operators.psf, srf=operators.srf), **self.options)
        calibrated = torch.from_numpy(operators.calibrated(msi)).to(hr_msi)
        return method.to(hr_msi.device)(lr_hsi[None], calibrated[None])
