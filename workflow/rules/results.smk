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
        "{STEP} collect --tables {input:q} --output {output:q} --log {log:q}"


def cost_pairs(wildcards):
    """Cost depends on sizes alone, so any protocol's pairs will do."""
    return f"data/pairs/{wildcards.dataset}/{EXPERIMENT.protocols[0]}/x{wildcards.ratio}"


rule cost:
    input:
        [plugin_code("methods", method) for method, _ in EXPERIMENT.methods],
        code("cost", "method", "problem"),
        pairs=cost_pairs,
    output:
        f"{RESULTS}/cost/{{dataset}}/x{{ratio}}.csv",
    log:
        f"{RESULTS}/logs/cost/{{dataset}}/x{{ratio}}.log",
    threads: workflow.cores
    resources:
        gpu=int(EXPERIMENT.device != "cpu"),
    params:
        methods=json.dumps(
            [
                {"method": method, "variant": variant, "options": about["options"]}
                for (method, variant), about in EXPERIMENT.methods.items()
            ]
        ),
        device=EXPERIMENT.device,
    message:
        "count and time all methods on {wildcards.dataset} x{wildcards.ratio}"
    shell:
        "{STEP} cost --dataset {wildcards.dataset:q} --pairs {input.pairs:q} --methods {params.methods:q} "
        "--device {params.device:q} --threads {threads} --output {output:q} --log {log:q}"


rule collect_cost:
    input:
        [f"{RESULTS}/cost/{dataset}/x{ratio}.csv" for dataset in EXPERIMENT.datasets for ratio in EXPERIMENT.ratios],
    output:
        f"{RESULTS}/cost.csv",
    log:
        f"{RESULTS}/logs/collect_cost.log",
    message:
        "collect the costs of all methods"
    shell:
        "{STEP} collect --tables {input:q} --output {output:q} --log {log:q}"


rule describe:
    input:
        [plugin_code("methods", method) for method, _ in EXPERIMENT.methods],
        [plugin_code("datasets", dataset) for dataset in EXPERIMENT.datasets],
        code("provenance"),
    output:
        f"{RESULTS}/experiment.json",
    log:
        f"{RESULTS}/logs/describe.log",
    params:
        config=json.dumps(config),
    message:
        "write down what the experiment is"
    shell:
        "{STEP} describe --config {params.config:q} --output {output:q} --log {log:q}"


rule tables:
    input:
        code("tables", "results"),
        rules.describe.output,
        rules.collect.output,
        rules.collect_cost.output,
    output:
        directory(f"{RESULTS}/tables"),
    log:
        f"{RESULTS}/logs/tables.log",
    message:
        "write the LaTeX tables"
    shell:
        "{STEP} tables --results {RESULTS:q} --output {output:q} --log {log:q}"


rule figures:
    input:
        code("figures", "gallery", "results"),
        rules.describe.output,
        rules.collect.output,
        rules.collect_cost.output,
    output:
        directory(f"{RESULTS}/figures"),
    log:
        f"{RESULTS}/logs/figures.log",
    message:
        "draw the figures"
    shell:
        "{STEP} figures --results {RESULTS:q} --pairs data/pairs --output {output:q} --log {log:q}"


rule document:
    input:
        code("document"),
        rules.describe.output,
        rules.tables.output,
        rules.figures.output,
    output:
        f"{RESULTS}/paper.tex",
    log:
        f"{RESULTS}/logs/document.log",
    message:
        "put tables and figures into one document"
    shell:
        "{STEP} document --results {RESULTS:q} --output {output:q} --log {log:q}"


rule report:
    input:
        code("report"),
        rules.describe.output,
        rules.collect.output,
        rules.collect_cost.output,
        rules.figures.output,
    output:
        f"{RESULTS}/report.html",
    log:
        f"{RESULTS}/logs/report.log",
    message:
        "write the report"
    shell:
        "{STEP} report --results {RESULTS:q} --output {output:q} --log {log:q}"


rule summary:
    input:
        rules.collect.output,
        rules.document.output,
        rules.report.output,
    output:
        f"{RESULTS}/summary.txt",
    log:
        f"{RESULTS}/logs/summary.log",
    message:
        "summarise"
    shell:
        "{STEP} summary --results {RESULTS:q} --output {output:q} --log {log:q}"


def final_outputs():
    return [f"{RESULTS}/summary.txt"]
