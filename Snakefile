# The whole benchmark: bare `snakemake` runs the embedded demo, `snakemake --configfile config/<name>.yaml` another one.
from pathlib import Path
from smifbench.errors import UserError
from smifbench.experiment.config import check_experiment
from smifbench.places import DEMO

if not config:

    configfile: DEMO


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/causes.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/runs.smk"
include: "workflow/rules/results.smk"
include: "workflow/rules/robustness.smk"


# On a cluster these run where snakemake does: they are short, or need the internet.
localrules:
    all,
    download,
    collect,
    collect_cost,
    collect_robustness,
    spread,
    describe,
    tables,
    figures,
    document,
    report,
    summary,


rule all:
    default_target: True
    input:
        final_outputs(),


onsuccess:
    made = Path(final_outputs()[0])
    summary = made / "summary.txt" if made.is_dir() else made
    if summary.exists():
        print(summary.read_text())
