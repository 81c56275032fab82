"""Building methods: by name, and as a run of an experiment has them."""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from smifbench import plugins
from smifbench.errors import UserError
from smifbench.fusion.blind import Blind
from smifbench.fusion.scaled import ScaledNetwork
from smifbench.fusion.weights import load_trained
from smifbench.method import FusionMethod
from smifbench.problem import FusionProblem
from smifbench.run import Run


def build_method(name: str, problem: FusionProblem, **options: object) -> FusionMethod:
    """Build one method for `problem`.

    Parameters
    ----------
    name
        A file name under `methods/`, without `.py`.
    problem
        Band counts, ratio and known responses.
    **options
        The constructor's options; every option has a default.

    Raises
    ------
    UserError
        For an unknown method or option, with the nearest valid name, and for a value that the option does not take.
    """
    cls = plugins.method_class(name)
    plugins.check_method_options(name, options)
    operators = options.pop("operators", "known")
    if operators == "estimated":
        return Blind(cls, problem, options)
    if operators != "known":
        raise UserError(f"option operators of method {name} must be known or estimated, not {operators!r}")
    return cls(problem, **options)


@dataclass(frozen=True)
class RunMethod:
    """The method of a run: its options, and the folder of its training, which a method that solves does not have."""

    run: Run
    options: Mapping[str, object]
    trained: Path | None = None

    def reason_to_skip(self, problem: FusionProblem) -> str | None:
        """Return why the method cannot take `problem`, or None."""
        return plugins.method_class(self.run.method).skip(problem)

    def build(self, problem: FusionProblem) -> ScaledNetwork | FusionMethod:
        """Build the method for `problem`, a network behind its scaling.

        A network has the weights of its training where there is one, else initial weights that the run's seed decides.

        Raises
        ------
        UserError
            When the weights do not fit the problem.
        DamagedFile
            When they are not those that were written.
        """
        run, options = self.run, dict(self.options)
        torch.manual_seed(zlib.crc32(f"{run.method}/{run.variant}/{run.seed}".encode()))
        if "seed" in plugins.method_options(plugins.method_class(run.method)):
            options = {"seed": run.seed, **options}
        method = build_method(run.method, problem, **options)
        if not method.trainable:
            return method
        network = ScaledNetwork(method)
        if self.trained is not None:
            load_trained(network, self.trained)
        return network

    def build_network(self, problem: FusionProblem) -> ScaledNetwork:
        """`build` for a method that is trained; raises UserError for one that solves."""
        network = self.build(problem)
        if not isinstance(network, ScaledNetwork):
            raise UserError(f"{self.run.method} solves and is not trained")
        return network
