# What the rules of all stages share: the checked experiment, where things live, and which code decides which numbers.
import json
import shlex
import sys
from snakemake.exceptions import WorkflowError
from smifbench import plugins

try:
    EXPERIMENT = check_experiment(config, "the experiment's config")
except UserError as error:
    raise WorkflowError(str(error)) from None

RESULTS = f"results/{EXPERIMENT.name}"
RUN = "{dataset}/{protocol}/x{ratio}/{method}/{variant}/seed{seed}"
PAIRS = "data/pairs/{dataset}/{protocol}/x{ratio}"
STEP = f"{shlex.quote(sys.executable)} -m smifbench.steps"


wildcard_constraints:
    dataset="[^/]+",
    protocol="[^/]+/[0-9]+",
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
