"""A run: one cell of an experiment's grid."""

import re
from dataclasses import dataclass

from smifbench.errors import UserError

_FOLDER = re.compile(r"([^/]+)/([^/]+/[^/]+)/x(\d+)/([^/]+)/([^/]+)/seed(\d+)")


@dataclass(frozen=True)
class Run:
    """One method's variant on one data set, protocol and ratio, with one seed."""

    dataset: str
    protocol: str
    ratio: int
    method: str
    variant: str
    seed: int

    @property
    def folder(self) -> str:
        """Path of the run below `results/<experiment>/runs/`."""
        return f"{self.dataset}/{self.protocol}/x{self.ratio}/{self.method}/{self.variant}/seed{self.seed}"

    @classmethod
    def of_folder(cls, folder: str) -> "Run":
        """Return the run whose `folder` this is; raises UserError where it is none's."""
        found = _FOLDER.fullmatch(folder)
        if not found:
            raise UserError(
                f"'{folder}' names no run; write its folder, such as "
                "indian_pines/block-gauss-s2/1/x4/ssr_net/default/seed0"
            )
        dataset, protocol, ratio, method, variant, seed = found.groups()
        return cls(dataset, protocol, int(ratio), method, variant, int(seed))
