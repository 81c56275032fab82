"""The zoo: trained weights that the suite ships.

An entry is a pair of files: `zoo/<name>.safetensors`, as `smifbench.fusion.weights.save_weights` writes it, and its
card `zoo/<name>.json`, which says what the weights are, how they were trained and what they reach. The keys of a card
are the fields of `Entry`. Wherever weights or results are named, `zoo:<name>` names an entry.
"""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from smifbench.errors import UserError
from smifbench.fusion.build import RunMethod
from smifbench.fusion.scaled import ScaledNetwork
from smifbench.fusion.weights import load_weights
from smifbench.places import ZOO
from smifbench.problem import FusionProblem
from smifbench.run import Run
from smifbench.system.files import replacing_folder, write_json
from smifbench.system.identity import file_hash

PREFIX = "zoo:"

ANEW = "take the file from the repository again, or install smifbench anew"
"""What to do about an entry that is not what was shipped."""


SAME_BAND_NM = 5.0
"""Distance of two bands' centres up to which they show the same, half the usual spacing of bands."""


@dataclass(frozen=True)
class Entry:
    """Weights of the zoo, and what their card says.

    Parameters
    ----------
    name
        Of both files, without suffix; the card does not hold it.
    title
        The method's title in print.
    experiment
        Experiment that has trained and scored the weights, a file of `config/`.
    run
        Data set, protocol, ratio, method, variant and seed.
    options
        The method's, as far as they are no defaults.
    data
        Of the data set: its `title`, its `reader` under `datasets/`, the reader's `options` without the folder.
    problem
        What the network was built for.
    training
        `recipe`, `steps`, `seconds`, `device` and the version of `torch`.
    fusing
        `device` by which the rows' estimates were made, and its number of CPU `threads`.
    code
        Ids of the code that did `train` and `fuse`.
    weights
        SHA-256 of the safetensors file.
    rows
        A row for each test scene: its name, data id, metrics, and number of missing pixels.
    """

    name: str
    title: str
    experiment: str
    run: Run
    options: dict
    data: dict
    problem: FusionProblem
    training: dict
    fusing: dict
    code: dict
    weights: str
    rows: list[dict]

    @property
    def path(self) -> Path:
        """The safetensors file."""
        return ZOO / f"{self.name}.safetensors"

    def mean(self, metric: str) -> float:
        """Mean of a metric over the test scenes."""
        return float(np.mean([row[metric] for row in self.rows]))

    def whole_path(self) -> Path:
        """Return the safetensors file; raises UserError where it is not the one that the card describes."""
        if not self.path.is_file():
            raise UserError(f"the zoo lacks {self.path}; {ANEW}")
        if file_hash(self.path) != self.weights:
            raise UserError(f"{self.path} is not the file that its card describes (other SHA-256); {ANEW}")
        return self.path

    def load(self) -> ScaledNetwork:
        """Return the network with its weights and its scaling; errors as in `whole_path`."""
        path = self.whole_path()
        network = RunMethod(self.run, self.options).build_network(self.problem)
        load_weights(network, path)
        return network

    def check_fits(self, method: str, problem: FusionProblem) -> None:
        """Raise UserError where the weights are another method's, or for other numbers of bands or another ratio."""
        if method != self.run.method:
            raise UserError(f"{PREFIX}{self.name} holds weights of {self.run.method} and not of {method}")
        trained, wanted = (
            f"{about.bands} with {about.msi_bands} bands at ratio {about.ratio}" for about in (self.problem, problem)
        )
        if trained != wanted:
            raise UserError(
                f"{PREFIX}{self.name} fuses {trained} and these images have {wanted}; take weights that were trained "
                "for as many bands and this ratio, or train"
            )

    def doubts(self, problem: FusionProblem) -> list[str]:
        """Return a sentence where the images' bands lie elsewhere than those of the training, as far as is known."""
        trained, given = self.problem.wavelengths_nm, problem.wavelengths_nm
        if trained is None or given is None or np.allclose(trained, given, rtol=0, atol=SAME_BAND_NM):
            return []
        bands = [f"{nm[0]:g} to {nm[-1]:g} nm" for nm in (trained, given)]
        return [f"{PREFIX}{self.name} was trained on bands from {bands[0]}, and these are from {bands[1]}"]

    def as_trained(self, folder: Path) -> None:
        """Write weights and facts to `folder`, where the steps then find them as those of a finished training."""
        with replacing_folder(folder) as temporary:
            shutil.copyfile(self.whole_path(), temporary / "weights.safetensors")
            write_json(temporary / "facts.json", {"status": "ok", "message": "", "weights": self.weights})


def names() -> list[str]:
    """Sorted names of all entries."""
    return sorted(path.stem for path in ZOO.glob("*.json"))


def is_reference(text: object) -> bool:
    """Tell whether `text` names an entry, as `zoo:<name>` does."""
    return str(text).startswith(PREFIX)


def find(name: str) -> Entry:
    """Return an entry by its name, with or without `zoo:`; raises UserError for an unknown one or a broken card."""
    name = name.removeprefix(PREFIX)
    if name not in names():
        raise UserError(f"the zoo holds no '{name}'; it holds: {', '.join(names()) or 'nothing yet'}")
    card = ZOO / f"{name}.json"
    try:
        about = json.loads(card.read_text(encoding="utf-8"))
        run, problem = Run(**about.pop("run")), FusionProblem.of_json(about.pop("problem"))
        return Entry(name=name, run=run, problem=problem, **about)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{card} is no whole card ({error}); {ANEW}") from error
