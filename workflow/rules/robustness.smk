# What was trained is tested under other protocols; run with config/robustness.yaml on top of an experiment's config.


rule robustness:
    input:
        test_scenes,
        tests_files,
        option_files,
        pairs=pairs_folder,
        trained=trained_folder,
    output:
        f"{RESULTS}/robustness/runs/{RUN}/metrics.csv",
    log:
        f"{RESULTS}/logs/robustness/{RUN}.log",
    conda:
        ENVIRONMENT
    threads: EXPERIMENT.threads
    resources:
        gpu=int(EXPERIMENT.device != "cpu"),
        device=EXPERIMENT.device,
    params:
        code=method_code("robustness"),
        made_of=tests_from,
        run=RUN,
        options=options_json,
        experiment=EXPERIMENT.name,
        tests=tests_json,
        prepared=lambda wildcards: f"data/scenes/{EXPERIMENT.data_id(wildcards.dataset)}",
        threads=EXPERIMENT.threads,
        attempt=attempt_at(f"{RESULTS}/robustness/runs/{RUN}/metrics.csv"),
        memory=MEMORY_OPTION,
        trained=lambda wildcards, input: ["--trained", *input.trained] if input.trained else [],
    message:
        "test {wildcards.method}/{wildcards.variant} on {wildcards.dataset} x{wildcards.ratio} under other protocols"
    shell:
        "python -m smifbench.steps robustness --experiment {params.experiment:q} --run {params.run:q} --tests {params.tests:q} "
        "--prepared {params.prepared:q} --pairs {input.pairs:q} --options {params.options:q} {params.trained:q} "
        "--device {resources.device:q} {params.memory:q} --threads {params.threads} --attempt {params.attempt} --output {output:q} --log {log:q}"


rule collect_robustness:
    input:
        [
            f"{RESULTS}/robustness/runs/{run.folder}/metrics.csv"
            for run in EXPERIMENT.runs()
            if run.method not in EXPERIMENT.external
        ],
    output:
        f"{RESULTS}/robustness/metrics.csv",
    log:
        f"{RESULTS}/logs/collect_robustness.log",
    conda:
        ENVIRONMENT
    params:
        code=code("collect"),
        made_of=tests_rows_from,
    message:
        "collect the rows of all tests"
    shell:
        "python -m smifbench.steps collect --tables {input:q} --output {output:q} --log {log:q}"


rule spread:
    input:
        rows=rules.collect_robustness.output[0],
    output:
        table=f"{RESULTS}/robustness.csv",
        folder=directory(f"{RESULTS}/robustness/spread"),
    log:
        f"{RESULTS}/logs/spread.log",
    conda:
        ENVIRONMENT
    params:
        code=code("spread"),
        made_of=losses_from,
    message:
        "tabulate and draw what the methods lose"
    shell:
        "python -m smifbench.steps spread --rows {input.rows:q} --output {output.table:q} --folder {output.folder:q} --log {log:q}"
