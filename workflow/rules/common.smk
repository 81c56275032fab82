# What the rules of all stages share: the checked experiment, where things live, and which code decides which numbers.
import csv
import json
import os
import re
import sys
from dataclasses import asdict
from functools import cache
from pathlib import Path
from snakemake.exceptions import WorkflowError
from smifbench import plugins
from smifbench.dataset import DataSet
from smifbench.degradation.protocol import get_protocol
from smifbench.evaluation.estimates import files_of_scene
from smifbench.experiment import external
from smifbench.experiment.causes import digest
from smifbench.experiment.config import WORDS, with_types
from smifbench.experiment.inputs import (
    below,
    check_inputs,
    contents,
    dataset_files,
    named,
    published,
    references,
    responses,
    templates,
)
from smifbench.run import Run

try:
    given = workflow.config_settings.config
    EXPERIMENT = check_experiment(with_types(config, given), "the experiment's config")
    check_inputs(EXPERIMENT)
except UserError as error:
    raise WorkflowError(str(error)) from None

RESULTS = f"results/{EXPERIMENT.name}"
if Path(RESULTS).is_dir() and not any(Path(".snakemake").glob("metadata/*")):
    print(
        f"smifbench: {RESULTS} is here, but not snakemake's record of how it was made, in .snakemake; edits of code and "
        "config since then go unseen, so to be sure that all is up to date: snakemake --forceall",
        file=sys.stderr,
    )
RUN = "{dataset}/{protocol}/x{ratio}/{method}/{variant}/seed{seed}"
DATASET_OF = {EXPERIMENT.data_id(dataset): dataset for dataset in EXPERIMENT.datasets}
ENVIRONMENT = "../../environment.yml"
MEMORY_OPTION = ["--memory-gb", EXPERIMENT.memory_gb] if EXPERIMENT.memory_gb else []
EXTERNAL = "|".join(map(re.escape, EXPERIMENT.external))

# Rules call `python`: that of a conda environment where one is deployed, else the one that runs snakemake.
os.environ.update(PATH=os.pathsep.join([os.path.dirname(sys.executable), *os.get_exec_path()]))


wildcard_constraints:
    dataset="[^/]+",
    data="[^/]+",
    protocol="[^/]+/[0-9]+[^/]*",
    ratio="[0-9]+",
    method="[^/]+",
    variant="[^/]+",
    seed="[0-9]+",
    scene="[^/]+",


@cache
def code(step, *plugin_files, also=()):
    """Digest of the code that decides a step's numbers, as a parameter of its rule: where it changes, the rule runs."""
    return digest(step, plugin_files, also)


@cache
def method_files(method):
    return plugins.sources("methods", method)


def method_code(step):
    """`code` of a step that works with the method of its wildcards."""

    def of(wildcards):
        estimated = method_config(wildcards)["options"].get("operators") == "estimated"
        return code(step, *method_files(wildcards.method), also=("fusion.blind",) if estimated else ())

    return of


def all_methods_code(step, *others):
    """`code` of a step that works with all methods of the experiment, and with other plug-ins."""
    files = [file for method, _ in EXPERIMENT.methods for file in method_files(method)]
    return code(step, *sorted({*files, *others}))


def data_set_files():
    """Files of all readers of the experiment."""
    return [file for name in EXPERIMENT.datasets for file in plugins.sources("datasets", EXPERIMENT.reader(name))]


def reader(wildcards):
    return EXPERIMENT.reader(DATASET_OF[wildcards.data])


def dataset_options_json(wildcards):
    options = EXPERIMENT.options(DATASET_OF[wildcards.data])
    return json.dumps({key: value for key, value in options.items() if key not in WORDS}, sort_keys=True)


def configured_dataset(wildcards):
    return EXPERIMENT.build_dataset(DATASET_OF[wildcards.data])


def fetched_files(wildcards):
    """The stamp of a data set whose files must be had first; none for one whose files are there from the start."""
    fetches = plugins.dataset_class(reader(wildcards)).fetch is not DataSet.fetch
    return f"data/fetched/{wildcards.data}.json" if fetches else []


def attempt(wildcards):
    """Number of the attempt to fetch a data set: one more while it could not be had, so that each run asks again."""
    stamp = Path(f"data/fetched/{wildcards.data}.json")
    last = json.loads(stamp.read_text()) if stamp.exists() else {"attempt": 0, "unavailable": True}
    return last["attempt"] + bool(last["unavailable"])


def source_files(wildcards):
    """Files of the user's that the config names; an edited one is read again."""
    return dataset_files(EXPERIMENT, DATASET_OF[wildcards.data])


def protocol_files(wildcards):
    """Files of the user's that the protocol's id names."""
    return get_protocol(wildcards.protocol).sources()


def tests_files(wildcards):
    """Files of the user's that the ids of the tests' protocols name."""
    return [file for protocol in EXPERIMENT.test_protocols for file in get_protocol(protocol).sources()]


def option_files(wildcards):
    """Files of the user's that the method's options name."""
    return named(method_config(wildcards)["options"])


def prepared_scenes(wildcards):
    return [f"data/scenes/{wildcards.data}/{scene}.npy" for scene in configured_dataset(wildcards).scenes()]


def prepared_sidecars(wildcards):
    return [scene.replace(".npy", ".json") for scene in prepared_scenes(wildcards)]


def pairs_folder(wildcards):
    return f"data/pairs/{EXPERIMENT.data_id(wildcards.dataset)}/{wildcards.protocol}/x{wildcards.ratio}"


def method_config(wildcards):
    return EXPERIMENT.methods[wildcards.method, wildcards.variant]


def options_json(wildcards):
    return json.dumps(method_config(wildcards)["options"], sort_keys=True)


def recipe_json(wildcards):
    return json.dumps(asdict(EXPERIMENT.recipe_of(wildcards.method, wildcards.variant)), sort_keys=True)


def attempt_at(output):
    """Number of the attempt at a run's `output`: one more where the last one failed, so that each snakemake tries again."""

    def of(wildcards):
        last = last_outcomes(Path(output.format(**wildcards)))
        return max((row["attempt"] for row in last), default=1) + any(row["status"] == "failed" for row in last)

    return of


def last_outcomes(output):
    """What is written down of the last attempt at a run's output: one outcome, or one for each row of a table."""
    if output.suffix == ".csv" and output.exists():
        with output.open(newline="") as file:
            return [{"attempt": int(row["attempt"]), "status": row["status"]} for row in csv.DictReader(file)]
    facts = output / "facts.json"
    return [json.loads(facts.read_text())] if facts.exists() else []


def estimates_folder(wildcards):
    """Folder of a run's estimates that were made elsewhere."""
    return external.folder_of(method_config(wildcards), Run.of_folder(RUN.format(**vars(wildcards))))


def estimate_files(wildcards):
    """The files there that are of test scenes; one that is edited, new or gone is a reason to look again."""
    folder, scenes = estimates_folder(wildcards), EXPERIMENT.build_dataset(wildcards.dataset).scenes()
    named = [files_of_scene(folder, scene) for scene, split in scenes.items() if split == "test"]
    return sorted({str(file) for cubes in named for files in cubes.values() for file in files})


def reading_json(wildcards):
    return json.dumps(external.reading_of(method_config(wildcards)), sort_keys=True)


def trained_folder(wildcards):
    """The run's training, for methods that learn."""
    if EXPERIMENT.trains(wildcards.method):
        return [f"{RESULTS}/runs/{RUN}/trained".format(**wildcards)]
    return []


def cost_pairs(wildcards):
    """Cost depends on sizes alone, so any protocol's pairs will do."""
    return f"data/pairs/{EXPERIMENT.data_id(wildcards.dataset)}/{EXPERIMENT.protocols[0]}/x{wildcards.ratio}"


def all_methods_json(wildcards):
    methods = [
        {"method": method, "variant": variant, "options": about["options"], "cost": about.get("cost")}
        for (method, variant), about in EXPERIMENT.methods.items()
        if method not in EXPERIMENT.external or about.get("cost")
    ]
    return json.dumps(methods, sort_keys=True)


def config_json(wildcards):
    return json.dumps(EXPERIMENT.as_config())


def tests_json(wildcards):
    return json.dumps(EXPERIMENT.tests(Run.of_folder(RUN.format(**wildcards))))


def test_scenes(wildcards):
    """Prepared scenes that the tests degrade anew."""
    splits = EXPERIMENT.build_dataset(wildcards.dataset).scenes()
    folder = f"data/scenes/{EXPERIMENT.data_id(wildcards.dataset)}"
    return [f"{folder}/{scene}.npy" for scene, split in splits.items() if split == "test"]


def final_outputs():
    """All that users read, as snakemake makes nothing anew that only lies between: the experiment, or its tests."""
    if EXPERIMENT.test_protocols or EXPERIMENT.test_ratios:
        return [f"{RESULTS}/robustness/spread", f"{RESULTS}/robustness.csv", f"{RESULTS}/robustness/metrics.csv"]
    names = [
        "summary.txt",
        "report.html",
        "paper.tex",
        "figures",
        "tables",
        "metrics.csv",
        "cost.csv",
        "experiment.json",
    ]
    return [f"{RESULTS}/{name}" for name in names]
