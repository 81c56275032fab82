"""Networks that an experiment has trained, as objects that fuse."""

from dataclasses import dataclass
from pathlib import Path

from smifbench import plugins
from smifbench.errors import UserError
from smifbench.fusion import zoo
from smifbench.fusion.build import RunMethod
from smifbench.fusion.scaled import ScaledNetwork
from smifbench.problem import FusionProblem
from smifbench.run import Run
from smifbench.system.files import read_json


@dataclass(frozen=True)
class Trained:
    """The folder of a finished training, and what is written down of it."""

    folder: Path
    run: Run
    options: dict
    problem: FusionProblem

    def load(self) -> ScaledNetwork:
        """Return the network with its weights and its scaling."""
        return RunMethod(self.run, self.options, self.folder).build_network(self.problem)


def load_method(
    folder: str | Path,
    method: str | None = None,
    variant: str | None = None,
    *,
    dataset: str | None = None,
    protocol: str | None = None,
    ratio: int | None = None,
    seed: int | None = None,
) -> ScaledNetwork:
    """Load a network that an experiment has trained, or that the suite ships.

    Parameters
    ----------
    folder
        Results of the experiment, such as `results/demo`, or an entry of the zoo, such as `zoo:lla_net-cave-x4`, whose
        name says all: the other arguments are left out then.
    method, variant
        The network and its variant, "default" where it is left out.
    dataset, protocol, ratio, seed
        Needed as far as the experiment has trained the network for several of them.

    Returns
    -------
    ScaledNetwork
        The network behind its scaling, as `smifbench.fuse` takes it; `network.network.problem` is what it was built
        for.

    Raises
    ------
    UserError
        When there is no such training, or more than one, or no such entry; the sentence says which there are.

    Examples
    --------
    >>> network = load_method("results/demo", "smif_net")  # doctest: +SKIP
    >>> hr_hsi = smifbench.fuse(network, lr_hsi, hr_msi)  # doctest: +SKIP
    """
    wanted = {"dataset": dataset, "protocol": protocol, "ratio": ratio, "seed": seed}
    if zoo.is_reference(folder):
        given = [key for key, value in {"method": method, "variant": variant, **wanted}.items() if value is not None]
        if given:
            raise UserError(f"{folder} names one network by itself; leave out {', '.join(given)}")
        return zoo.find(str(folder)).load()
    if method is None:
        if not Path(folder).is_dir():
            raise UserError(f"there is no folder {folder}; shipped weights are named as in load_method('zoo:{folder}')")
        raise UserError(
            f"{folder} may hold several networks; name the method, as in load_method('{folder}', 'ssr_net')"
        )
    return find_trained(folder, method, variant or "default", **wanted).load()


def find_trained(folder: str | Path, method: str, variant: str = "default", **wanted: str | int | None) -> Trained:
    """Find the one finished training that `load_method` asks for; arguments and errors as there."""
    runs = Path(folder) / "runs"
    if not runs.is_dir():
        raise UserError(f"{folder} holds no runs; name the results folder of an experiment, such as results/demo")
    if not plugins.method_class(method).trainable:
        raise UserError(f"{method} solves and is not trained; build it by build_method('{method}', problem)")
    facts = runs.glob("*/*/*/*/*/*/*/trained/facts.json")
    there = {Run.of_folder(path.parent.parent.relative_to(runs).as_posix()): path for path in sorted(facts)}
    of_method = {run: path for run, path in there.items() if (run.method, run.variant) == (method, variant)}
    found = [run for run in of_method if all(value in (None, getattr(run, key)) for key, value in wanted.items())]
    if not found:
        known = ", ".join(run.folder for run in of_method or there) or "no network"
        raise UserError(f"{folder} holds no training of {method}/{variant} that was asked for; it has trained: {known}")
    if len(found) > 1:
        differing = [key for key in wanted if len({getattr(run, key) for run in found}) > 1]
        raise UserError(
            f"{folder} holds {len(found)} trainings of {method}/{variant}; choose one by {' and '.join(differing)}: "
            f"{', '.join(run.folder for run in found)}"
        )
    return _read(found[0], of_method[found[0]])


def _read(run: Run, path: Path) -> Trained:
    about = read_json(path, path.parent)
    if about["status"] != "ok":
        raise UserError(f"the training in {path.parent} is no result ({about['status']}: {about['message']})")
    if "problem" not in about:
        raise UserError(f"{path} was written by an older version; delete {path.parent} and run snakemake")
    return Trained(path.parent, run, about["options"], FusionProblem.of_json(about["problem"]))
