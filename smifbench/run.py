"""A run: one cell of an experiment's grid."""

from dataclasses import dataclass


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
