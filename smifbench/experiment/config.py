"""An experiment: a config file, checked against its schema and the plug-ins, and the grid of runs that it asks for."""

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from itertools import product
from pathlib import Path

import jsonschema
import yaml

from smifbench import plugins
from smifbench.data.responses import load_response
from smifbench.dataset import DataSet
from smifbench.errors import UserError, unknown
from smifbench.experiment.external import KEYS, check_external
from smifbench.experiment.mistakes import sentence
from smifbench.experiment.recipes import resolved_recipe
from smifbench.method import Recipe
from smifbench.metrics import WALD
from smifbench.run import Run

SCHEMA = Path(__file__).with_name("schema.yaml")


_Validator = jsonschema.validators.extend(
    jsonschema.Draft202012Validator,
    type_checker=jsonschema.Draft202012Validator.TYPE_CHECKER.redefine(
        "integer", lambda _, value: isinstance(value, int) and not isinstance(value, bool)
    ),
)
"""To JSON Schema 4.0 is an integer too, but it is no number of images and names another folder than 4."""

WORDS = ("title", "licence", "homepage", "citation")
"""Options of a data set that name it in print and decide no value of it."""

LONGEST_NAME = 200
"""Letters of a folder's name; file systems take 255 bytes, and a temporary name is longer than the final one."""

LARGEST_CONFIG = 100_000
"""Values in a config; only aliases of aliases make more."""


@dataclass(frozen=True)
class Experiment:
    """A checked config with all defaults filled in.

    `methods` maps (method, variant) to {"options", "recipe"}, and for one that ran elsewhere to the keys of
    `smifbench.experiment.external` besides. Options that state a default are left out, of methods and
    of data sets, so that configs which mean the same are the same.
    """

    name: str
    note: str
    datasets: dict[str, dict]
    protocols: list[str]
    ratios: list[int]
    seeds: list[int]
    recipe: str
    training: dict
    reference: str
    metrics: list[str]
    methods: dict[tuple[str, str], dict]
    threads: int
    device: str
    memory_gb: float | None
    test_protocols: list[str]
    test_ratios: list[int]

    def reader(self, dataset: str) -> str:
        """Name of the file under `datasets/` that reads a data set: its own name, unless the config states `reader`."""
        return self.datasets[dataset].get("reader", dataset)

    def options(self, dataset: str) -> dict:
        """Return the options of a data set's reader."""
        return {key: value for key, value in self.datasets[dataset].items() if key != "reader"}

    def build_dataset(self, dataset: str) -> DataSet:
        """Build the data set of that name; raises UserError for an unknown reader or option."""
        return plugins.build_dataset(self.reader(dataset), **self.options(dataset))

    def data_id(self, dataset: str) -> str:
        """Name of a data set's folder under `data/`: other options, other folder, so experiments do not collide."""
        about = {key: value for key, value in self.datasets[dataset].items() if key not in WORDS}
        digits = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:8]
        return f"{dataset}-{digits}" if about else dataset

    @property
    def external(self) -> list[str]:
        """Names of the methods that ran elsewhere."""
        return list(dict.fromkeys(method for (method, _), about in self.methods.items() if "estimates" in about))

    def trains(self, method: str) -> bool:
        """Tell whether a method is a network that is trained here."""
        return method not in self.external and plugins.method_class(method).trainable

    def recipe_of(self, method: str, variant: str = "default") -> Recipe:
        """Return the recipe by which a method is trained: the base, then what the experiment and the method change."""
        recipe = resolved_recipe(method, self.recipe, self.training, self.methods[method, variant]["recipe"])
        plugins.method_class(method).check_recipe(recipe)
        return recipe

    def as_config(self) -> dict:
        """Return a config that means the same, with every default stated; the same for all configs that mean it.

        The device is left out: it decides where an experiment runs, which every row says, and not what it is.
        """
        stated = {
            f"{method}/{variant}": {key: about[key] for key in ("options", *KEYS) if key in about}
            | ({"recipe": asdict(self.recipe_of(method, variant))} if self.trains(method) else {})
            for (method, variant), about in self.methods.items()
        }
        others = {
            field.name: getattr(self, field.name) for field in fields(self) if field.name not in ("name", "device")
        }
        return {"experiment": self.name, **others, "training": {}, "methods": stated}

    def settings(self) -> list[tuple[str, str, int]]:
        """Return all (dataset, protocol, ratio)."""
        return list(product(self.datasets, self.protocols, self.ratios))

    def runs(self) -> list[Run]:
        """Return the whole grid; a method without randomness, or that ran elsewhere, has the first seed alone."""
        return [
            Run(*setting, method, variant, seed)
            for setting in self.settings()
            for method, variant in self.methods
            for seed in (self.seeds if method not in self.external and plugins.is_random(method) else self.seeds[:1])
        ]

    def tests(self, run: Run) -> list[tuple[str, int]]:
        """Return protocol and ratio of every robustness test of a run; the first is how it was trained."""
        protocols = dict.fromkeys([run.protocol, *self.test_protocols])
        ratios = [ratio for ratio in self.test_ratios if ratio not in self.ratios and run.ratio == self.ratios[0]]
        return [*((protocol, run.ratio) for protocol in protocols), *((run.protocol, ratio) for ratio in ratios)]


def load_experiment(path: str | Path) -> Experiment:
    """Read and check a config file; raises UserError with the file, the key and the remedy."""
    path = Path(path)
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"config file {path} does not exist") from error
    except OSError as error:
        raise UserError(f"config file {path} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # dates that do not exist are a ValueError
        raise UserError(f"config file {path} is not valid YAML: {error}") from error
    return check_experiment(config, str(path))


def with_types(config: dict, given: Mapping) -> dict:
    """Return a config with the types of YAML in what a command line has `given`.

    Snakemake's `--config seeds=[0,1]` leaves everything within a list or mapping as text.
    """
    nested = {key: value for key, value in given.items() if isinstance(value, dict | list)}
    return {key: _retyped(value, nested[key]) if key in nested else value for key, value in config.items()}


def _retyped(value: object, given: object) -> object:
    """Read again what of a value was given; a mapping that was given is only part of the one in the config."""
    if isinstance(value, dict) and isinstance(given, dict):
        return {key: _retyped(item, given[key]) if key in given else item for key, item in value.items()}
    if isinstance(value, list) and isinstance(given, list):
        return [_retyped(item, item) for item in value]
    try:
        read = yaml.safe_load(value) if isinstance(value, str) else value
    except (yaml.YAMLError, ValueError):
        return value
    return read if read is None or isinstance(read, int | float) else value


def check_experiment(config: dict, source: str = "config") -> Experiment:
    """Check a parsed config against the schema and the plug-ins and fill in the defaults.

    Parameters
    ----------
    config
        The parsed YAML.
    source
        What error messages call it, usually the file's path.

    Raises
    ------
    UserError
        One sentence: the key, what is wrong, and the nearest valid name.
    """
    try:
        filled = _fill(config, yaml.safe_load(SCHEMA.read_text(encoding="utf-8")))
        methods = filled.pop("methods")
        experiment = Experiment(
            name=filled.pop("experiment"),
            methods={_split_variant(key): value for key, value in methods.items()},
            **filled,
        )
        for method in methods:
            if f"{method}/default" in methods:
                raise UserError(f"methods holds both {method} and {method}/default, which are the same; drop one")
        _check_names(experiment)
        experiment = _without_defaults(experiment)
        check_sizes(experiment)
    except UserError as error:
        raise UserError(f"{source}: {error}") from error
    return experiment


def check_sizes(experiment: Experiment) -> None:
    """Refuse ratios and patches that do not fit the scenes, before anything is run.

    Raises
    ------
    UserError
        One sentence with the scene, its size and what would fit.
    """
    trained = [key for key in experiment.methods if experiment.trains(key[0])]
    for name, ratio in product(experiment.datasets, experiment.ratios):
        dataset = experiment.build_dataset(name)
        for scene, split in dataset.scenes().items():
            height, width = dataset.size(scene)
            size = f"scene {scene} of {name} has {height} x {width} pixels"
            if height % ratio or width % ratio:
                raise UserError(f"{size}, which ratio {ratio} does not divide; take another ratio, or crop the scene")
            for method, variant in trained if split == "train" else ():
                _check_patch(
                    experiment.recipe_of(method, variant), f"methods.{method}/{variant}", size, ratio, height, width
                )


def _check_patch(recipe: Recipe, key: str, size: str, ratio: int, height: int, width: int) -> None:
    side = min(height, width)
    largest = side // ratio * ratio
    if recipe.patch > side:
        raise UserError(
            f"{key} is trained on patches of {recipe.patch}, but {size}; set recipe: {{patch: {largest}}} or less for "
            "it, or patch under training for all networks"
        )
    if recipe.patch % ratio:
        fitting = max(ratio, recipe.patch // ratio * ratio)
        raise UserError(
            f"{key} is trained on patches of {recipe.patch}, which ratio {ratio} does not divide; set recipe: "
            f"{{patch: {fitting}}} for it, or patch under training for all networks"
        )


def _without_defaults(experiment: Experiment) -> Experiment:
    """Leave out options that state a default."""
    methods = {
        (method, variant): about
        if method in experiment.external
        else {**about, "options": _stated(about["options"], plugins.method_options(plugins.method_class(method)))}
        for (method, variant), about in experiment.methods.items()
    }
    datasets = {
        name: _stated(about, plugins.dataset_options(experiment.reader(name)))
        for name, about in experiment.datasets.items()
    }
    return replace(experiment, methods=methods, datasets=datasets)


def _stated(options: dict, defaults: dict[str, object]) -> dict:
    as_json = {key: json.dumps(value) for key, value in defaults.items() if not isinstance(value, type)}
    return {key: value for key, value in options.items() if json.dumps(value) != as_json.get(key)}


def _fill(config: dict, schema: dict) -> dict:
    """Validate `config` and return a copy with the schema's defaults."""
    _refuse_foreign(config)
    validator = _Validator(schema)
    error = jsonschema.exceptions.best_match(validator.iter_errors(config))
    if error is not None:
        raise sentence(error)
    filled = {key: config.get(key, about.get("default")) for key, about in schema["properties"].items()}
    empty: dict[str, dict] = {"options": {}, "recipe": {}}
    return {**filled, "methods": {name: {**empty, **about} for name, about in config["methods"].items()}}


def _refuse_foreign(config: object) -> None:
    """Refuse what YAML can hold and a job's command line cannot: dates, binary data, keys that are no text, ..."""
    pending = [("", config)]
    for _ in range(LARGEST_CONFIG):
        if not pending:
            return
        where, value = pending.pop()
        if isinstance(value, dict):
            for key in value:
                if not isinstance(key, str) or not _is_plain(key):
                    raise UserError(
                        f"the key {key!r:.40} in {where or 'the config'} is no plain text; put it in quotes"
                    )
            pending += [(f"{where}.{key}" if where else key, item) for key, item in value.items()]
        elif isinstance(value, list):
            pending += [(where, item) for item in value]
        elif not _is_plain(value):
            raise UserError(f"key '{where}': {value!r:.40} is neither text, a finite number, true, false nor null")
    raise UserError(f"the config holds more than {LARGEST_CONFIG} values; write it without nested aliases")


def _is_plain(value: object) -> bool:
    if isinstance(value, str):
        return "\0" not in value and value == value.encode(errors="ignore").decode()
    return value is None or isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))


def _split_variant(key: str) -> tuple[str, str]:
    method, _, variant = key.partition("/")
    return method, variant or "default"


def _check_names(experiment: Experiment) -> None:
    from smifbench.degradation.protocol import get_protocol

    for name in experiment.datasets:
        dataset = experiment.build_dataset(name)
        response = getattr(dataset, "response", None)
        if isinstance(response, str):
            try:
                load_response(response)
            except UserError as error:
                raise UserError(f"datasets.{name}.response: {error}") from error
        for scene in dataset.scenes():
            if "/" in scene:
                raise UserError(f"scene {scene} of {name} names a file, which takes no slash; rename it in the reader")
    for id in [*experiment.protocols, *experiment.test_protocols]:
        _check_folder(get_protocol(id).id)
    for name, id in product(experiment.datasets, [*experiment.protocols, *experiment.test_protocols]):
        dataset, protocol = experiment.build_dataset(name), get_protocol(id)
        if protocol.msi == "measured" and not dataset.brings_msi:
            raise UserError(f"protocol {id} takes a measured MSI, which {name} does not bring; leave out msi=measured")
        if protocol.msi == "simulated" and protocol.response is None and getattr(dataset, "response", "") is None:
            raise UserError(
                f"protocol {id} simulates the MSI, and data set {name} states no response to do it by; set its option "
                f"response, or protocols: [{id}+msi=measured] for the MSI that was measured"
            )
    for name in experiment.metrics:
        if name not in WALD:
            raise unknown("metric", name, WALD)
    _check_tests(experiment)
    scenes = {
        name: [scene for scene, split in experiment.build_dataset(name).scenes().items() if split == "test"]
        for name in experiment.datasets
    }
    for (method, variant), about in experiment.methods.items():
        check_external(f"{method}/{variant}", about, experiment.ratios, experiment.protocols, scenes)
        if "estimates" in about:
            continue
        plugins.check_method_options(method, about["options"])
        if "seed" in about["options"]:  # the same run would count once for each of the experiment's seeds
            raise UserError(
                f"methods.{method}/{variant} states the option seed, which every run has from the experiment's seeds; "
                "leave it out and list it under seeds"
            )


def _check_folder(id: str) -> None:
    """Refuse a protocol whose id can be no part of a path."""
    version = id.partition("/")[2]
    if not re.fullmatch(rf"[^/{{}}\x00-\x1f]{{1,{LONGEST_NAME}}}", version):
        raise UserError(
            f"protocol {id!r} names a folder, which takes no slash, brace or line break after its version and at most "
            f"{LONGEST_NAME} letters; put a response's file, or a link to it, where snakemake runs, under a short name"
        )


def _check_tests(experiment: Experiment) -> None:
    """Refuse robustness tests whose rows could not be told apart, or whose protocols no trained network can meet."""
    from smifbench.degradation.protocol import get_protocol

    if not experiment.test_protocols and not experiment.test_ratios:
        return
    if all(method in experiment.external for method, _ in experiment.methods):
        raise UserError("test_protocols and test_ratios test methods that run here; name one, or leave the tests out")
    if len(experiment.protocols) > 1:
        raise UserError("test_protocols and test_ratios need one training protocol; leave one in protocols")
    for id in [*experiment.protocols, *experiment.test_protocols]:
        protocol = get_protocol(id)
        if protocol.scaling != "none":
            raise UserError(f"protocol {id} rescales the reference, so it cannot be tested against; leave it out")
        for ratio in experiment.ratios:
            protocol.psf(ratio)
    for ratio in experiment.test_ratios:
        get_protocol(experiment.protocols[0]).psf(ratio)
