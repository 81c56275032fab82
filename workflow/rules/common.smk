# What the rules of all stages share: the checked experiment, where things live, and which code decides which numbers.
import json
import os
import sys
from pathlib import Path
from snakemake.exceptions import WorkflowError
from smifbench import plugins
from smifbench.dataset import DataSet
from smifbench.run import Run

try:
    EXPERIMENT = check_experiment(config, "the experiment's config")
except UserError as error:
    raise WorkflowError(str(error)) from None

for name in EXPERIMENT.datasets:
    for path in [plugins.ROOT, *EXPERIMENT.build_dataset(name).sources()]:
        if {"{", "}"} & {*str(path)}:
            raise WorkflowError(f"{path}: snakemake takes braces in a name for wildcards; rename it")

RESULTS = f"results/{EXPERIMENT.name}"
RUN = "{dataset}/{protocol}/x{ratio}/{method}/{variant}/seed{seed}"
DATASET_OF = {EXPERIMENT.data_id(dataset): dataset for dataset in EXPERIMENT.datasets}
ENVIRONMENT = "../../environment.yml"
MEMORY_OPTION = ["--memory-gb", EXPERIMENT.memory_gb] if EXPERIMENT.memory_gb else []
RESPONSES = sorted(str(path.relative_to(plugins.ROOT)) for path in plugins.ROOT.glob("datasets/srf/*.csv"))
PUBLISHED = sorted(str(path.relative_to(plugins.ROOT)) for path in plugins.ROOT.glob("results/published/*.csv"))

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


def code(*modules):
    """Modules of the package on which a rule's numbers depend; an edit of one runs the rule again."""
    return [f"smifbench/{module}.py" for module in modules]


def plugin_code(folder, name):
    """A plug-in's file and the private files that it imports."""
    return [str(path.relative_to(plugins.ROOT)) for path in plugins.sources(folder, name)]


def reader(wildcards):
    return EXPERIMENT.reader(DATASET_OF[wildcards.data])


def dataset_options_json(wildcards):
    return json.dumps(EXPERIMENT.options(DATASET_OF[wildcards.data]))


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
    return configured_dataset(wildcards).sources()


def prepared_scenes(wildcards):
    return [f"data/scenes/{wildcards.data}/{scene}.npy" for scene in configured_dataset(wildcards).scenes()]


def prepared_sidecars(wildcards):
    return [scene.replace(".npy", ".json") for scene in prepared_scenes(wildcards)]


def pairs_folder(wildcards):
    return f"data/pairs/{EXPERIMENT.data_id(wildcards.dataset)}/{wildcards.protocol}/x{wildcards.ratio}"


def method_config(wildcards):
    return EXPERIMENT.methods[wildcards.method, wildcards.variant]


def run_json(wildcards):
    return json.dumps({**wildcards, "ratio": int(wildcards.ratio), "seed": int(wildcards.seed)})


def options_json(wildcards):
    return json.dumps(method_config(wildcards)["options"])


def recipe_json(wildcards):
    changes = [EXPERIMENT.training, method_config(wildcards)["recipe"]]
    return json.dumps({"base": EXPERIMENT.recipe, "changes": changes})


def trained_folder(wildcards):
    """The run's training, for methods that learn."""
    if plugins.method_class(wildcards.method).trainable:
        return [f"{RESULTS}/runs/{RUN}/trained".format(**wildcards)]
    return []


def cost_pairs(wildcards):
    """Cost depends on sizes alone, so any protocol's pairs will do."""
    return f"data/pairs/{EXPERIMENT.data_id(wildcards.dataset)}/{EXPERIMENT.protocols[0]}/x{wildcards.ratio}"


def all_methods_json(wildcards):
    methods = [
        {"method": method, "variant": variant, "options": about["options"]}
        for (method, variant), about in EXPERIMENT.methods.items()
    ]
    return json.dumps(methods)


def config_json(wildcards):
    return json.dumps(config)


def tests_json(wildcards):
    return json.dumps(EXPERIMENT.tests(Run(**json.loads(run_json(wildcards)))))


def test_scenes(wildcards):
    """Prepared scenes that the tests degrade anew."""
    splits = EXPERIMENT.build_dataset(wildcards.dataset).scenes()
    folder = f"data/scenes/{EXPERIMENT.data_id(wildcards.dataset)}"
    return [f"{folder}/{scene}.npy" for scene, split in splits.items() if split == "test"]


def blind_code(wildcards):
    """What decides the operators of a method that estimates them."""
    estimated = method_config(wildcards)["options"].get("operators") == "estimated"
    return code("fusion/blind", "degradation/estimation") if estimated else []


def final_outputs():
    """What is made in the end: the experiment, or with tests in its config what is learnt from them."""
    if EXPERIMENT.test_protocols or EXPERIMENT.test_ratios:
        return [f"{RESULTS}/robustness/spread"]
    return [f"{RESULTS}/summary.txt"]
