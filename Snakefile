# The whole benchmark: bare `snakemake` runs the embedded demo, `snakemake --configfile config/<name>.yaml` another one.
from smifbench.errors import UserError
from smifbench.experiment import check_experiment, load_experiment

if not config:

    configfile: "config/demo.yaml"


container: None


include: "workflow/rules/common.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/runs.smk"
include: "workflow/rules/results.smk"


rule all:
    default_target: True
    input:
        final_outputs(),
