# From the runs' rows to tables, figures and the report.


rule collect:
    input:
        [f"{RESULTS}/runs/{run.folder}/scores.csv" for run in EXPERIMENT.runs()],
    output:
        f"{RESULTS}/metrics.csv",
    log:
        f"{RESULTS}/logs/collect.log",
    message:
        "collect the rows of all runs"
    shell:
        "{STEP} collect --scores {input:q} --output {output:q} --log {log:q}"


def final_outputs():
    return [f"{RESULTS}/metrics.csv"]
