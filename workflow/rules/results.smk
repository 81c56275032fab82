# From the runs' rows to tables, figures and the report.


rule collect:
    input:
        [f"{RESULTS}/runs/{run.folder}/scores.csv" for run in EXPERIMENT.runs()],
    output:
        report(f"{RESULTS}/metrics.csv", caption="../report/metrics.rst", category="Numbers"),
    log:
        f"{RESULTS}/logs/collect.log",
    conda:
        ENVIRONMENT
    params:
        code=code("collect"),
        made_of=rows_from,
    message:
        "collect the rows of all runs"
    shell:
        "python -m smifbench.steps collect --tables {input:q} --output {output:q} --log {log:q}"


rule cost:
    input:
        published(),
        pairs=cost_pairs,
    output:
        f"{RESULTS}/cost/{{dataset}}/x{{ratio}}.csv",
    log:
        f"{RESULTS}/logs/cost/{{dataset}}/x{{ratio}}.log",
    conda:
        ENVIRONMENT
    # All cores of this machine, so that nothing else disturbs the timing; a cluster gives the job cores of its own.
    threads: lambda wildcards: workflow.cores if workflow.local_exec else EXPERIMENT.threads
    resources:
        gpu=int(EXPERIMENT.device != "cpu"),
        device=EXPERIMENT.device,
    params:
        code=all_methods_code("cost"),
        made_of=lambda wildcards: cost_from(wildcards.dataset),
        methods=all_methods_json,
    message:
        "count and time all methods on {wildcards.dataset} x{wildcards.ratio}"
    shell:
        "python -m smifbench.steps cost --dataset {wildcards.dataset:q} --pairs {input.pairs:q} --methods {params.methods:q} "
        "--device {resources.device:q} --threads {threads} --output {output:q} --log {log:q}"


rule collect_cost:
    input:
        [f"{RESULTS}/cost/{dataset}/x{ratio}.csv" for dataset in EXPERIMENT.datasets for ratio in EXPERIMENT.ratios],
    output:
        report(f"{RESULTS}/cost.csv", caption="../report/cost.rst", category="Numbers"),
    log:
        f"{RESULTS}/logs/collect_cost.log",
    conda:
        ENVIRONMENT
    params:
        code=code("collect"),
        made_of=costs_from,
    message:
        "collect the costs of all methods"
    shell:
        "python -m smifbench.steps collect --tables {input:q} --output {output:q} --log {log:q}"


rule describe:
    input:
        references(),
    output:
        f"{RESULTS}/experiment.json",
    log:
        f"{RESULTS}/logs/describe.log",
    conda:
        ENVIRONMENT
    params:
        code=all_methods_code("describe", *data_set_files()),
        made_of=description_from,
        config=config_json,
    message:
        "write down what the experiment is"
    shell:
        "python -m smifbench.steps describe --config {params.config:q} --output {output:q} --log {log:q}"


rule tables:
    input:
        published(),
        rules.collect.output,
        rules.collect_cost.output,
        about=rules.describe.output[0],
    output:
        directory(f"{RESULTS}/tables"),
    log:
        f"{RESULTS}/logs/tables.log",
    conda:
        ENVIRONMENT
    params:
        code=code("tables"),
        made_of=printed_from,
        results=subpath(input.about, parent=True),
    message:
        "write the LaTeX tables"
    shell:
        "python -m smifbench.steps tables --results {params.results:q} --output {output:q} --log {log:q}"


rule figures:
    input:
        rules.collect.output,
        rules.collect_cost.output,
        about=rules.describe.output[0],
    output:
        report(
            directory(f"{RESULTS}/figures"),
            patterns=["{figure}.png"],
            caption="../report/figures.rst",
            category="Figures",
            labels={"figure": "{figure}"},
        ),
    log:
        f"{RESULTS}/logs/figures.log",
    conda:
        ENVIRONMENT
    params:
        code=code("figures"),
        made_of=printed_from,
        results=subpath(input.about, parent=True),
    message:
        "draw the figures"
    shell:
        "python -m smifbench.steps figures --results {params.results:q} --pairs data/pairs --output {output:q} --log {log:q}"


rule document:
    input:
        rules.tables.output,
        rules.figures.output,
        about=rules.describe.output[0],
    output:
        f"{RESULTS}/paper.tex",
    log:
        f"{RESULTS}/logs/document.log",
    conda:
        ENVIRONMENT
    params:
        code=code("document"),
        made_of=document_from,
        results=subpath(input.about, parent=True),
    message:
        "put tables and figures into one document"
    shell:
        "python -m smifbench.steps document --results {params.results:q} --output {output:q} --log {log:q}"


rule report:
    input:
        templates(),
        published(),
        rules.collect.output,
        rules.collect_cost.output,
        rules.figures.output,
        about=rules.describe.output[0],
    output:
        report(f"{RESULTS}/report.html", caption="../report/report.rst", category="Report"),
    log:
        f"{RESULTS}/logs/report.log",
    conda:
        ENVIRONMENT
    params:
        code=code("report"),
        made_of=report_from,
        results=subpath(input.about, parent=True),
    message:
        "write the report"
    shell:
        "python -m smifbench.steps report --results {params.results:q} --pairs data/pairs --output {output:q} --log {log:q}"


rule summary:
    input:
        rules.collect.output,
        rules.document.output,
        rules.report.output,
        about=rules.describe.output[0],
    output:
        f"{RESULTS}/summary.txt",
    log:
        f"{RESULTS}/logs/summary.log",
    # It fails when a method has; that will not change by trying again.
    retries: 0
    conda:
        ENVIRONMENT
    params:
        code=code("summary"),
        made_of=summary_from,
        results=subpath(input.about, parent=True),
    message:
        "summarise"
    shell:
        "python -m smifbench.steps summary --results {params.results:q} --output {output:q} --log {log:q}"
