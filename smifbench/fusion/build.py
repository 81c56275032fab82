"""Building methods: by name, and as a run of an experiment has them."""

import zlib

import torch

from smifbench import plugins
from smifbench.errors import UserError, unknown
from smifbench.fusion.blind import Blind
from smifbench.fusion.scaled import ScaledNetwork
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
        For an unknown method or option, with the nearest valid name.
    """
    cls = plugins.method_class(name)
    known = plugins.method_options(cls)
    for option in options:
        if option not in known:
            raise unknown(f"option of method {name}", option, known)
    operators = options.pop("operators", "known")
    if operators == "estimated":
        return Blind(cls, problem, options)
    if operators != "known":
        raise UserError(f"option operators of method {name} must be known or estimated, not {operators!r}")
    return cls(problem, **options)


def build_for_run(run: Run, problem: FusionProblem, options: dict) -> ScaledNetwork | FusionMethod:
    """Build the method with weights that the run's seed decides; a network comes behind its scaling."""
    torch.manual_seed(zlib.crc32(f"{run.method}/{run.variant}/{run.seed}".encode()))
    if "seed" in plugins.method_options(plugins.method_class(run.method)):
        options = {"seed": run.seed, **options}
    method = build_method(run.method, problem, **options)
    return ScaledNetwork(method) if method.trainable else method
