# One run of one method: train, fuse, score. Sums depend on the threads, so a job has those of the config, even where
# snakemake has fewer cores and therefore scales `threads` down. The device is a resource and no parameter: it decides where
# a job runs, which every row says, so its change alone runs nothing again.


rule train:
    input:
        option_files,
        pairs=pairs_folder,
    output:
        directory(f"{RESULTS}/runs/{RUN}/trained"),
    log:
        f"{RESULTS}/logs/train/{RUN}.log",
    conda:
        ENVIRONMENT
    threads: EXPERIMENT.threads
    resources:
        gpu=int(EXPERIMENT.device != "cpu"),
        device=EXPERIMENT.device,
    params:
        code=method_code("train"),
        made_of=trained_from,
        run=RUN,
        options=options_json,
        recipe=recipe_json,
        attempt=attempt_at(f"{RESULTS}/runs/{RUN}/trained"),
        state=f"{RESULTS}/state/{RUN}",
        threads=EXPERIMENT.threads,
    message:
        "train {wildcards.method}/{wildcards.variant} on {wildcards.dataset} x{wildcards.ratio}, seed {wildcards.seed}"
    shell:
        "python -m smifbench.steps train --run {params.run:q} --pairs {input.pairs:q} --options {params.options:q} "
        "--recipe {params.recipe:q} --device {resources.device:q} --threads {params.threads} --attempt {params.attempt} --state {params.state:q} "
        "--output {output:q} --log {log:q}"


rule fuse:
    input:
        option_files,
        pairs=pairs_folder,
        trained=trained_folder,
    output:
        directory(f"{RESULTS}/runs/{RUN}/fused"),
    log:
        f"{RESULTS}/logs/fuse/{RUN}.log",
    wildcard_constraints:
        method=f"(?!({EXTERNAL})/)[^/]+",
    conda:
        ENVIRONMENT
    threads: EXPERIMENT.threads
    resources:
        gpu=int(EXPERIMENT.device != "cpu"),
        device=EXPERIMENT.device,
    params:
        code=method_code("fuse"),
        made_of=fused_from,
        run=RUN,
        options=options_json,
        threads=EXPERIMENT.threads,
        attempt=attempt_at(f"{RESULTS}/runs/{RUN}/fused"),
        trained=lambda wildcards, input: ["--trained", *input.trained] if input.trained else [],
        memory=MEMORY_OPTION,
    message:
        "fuse {wildcards.dataset} x{wildcards.ratio} with {wildcards.method}/{wildcards.variant}, seed {wildcards.seed}"
    shell:
        "python -m smifbench.steps fuse --run {params.run:q} --pairs {input.pairs:q} --options {params.options:q} {params.trained:q} "
        "--device {resources.device:q} {params.memory:q} --threads {params.threads} --attempt {params.attempt} --output {output:q} --log {log:q}"


# In the place of `fuse` for a method that ran elsewhere.
rule adopt:
    input:
        pairs=pairs_folder,
        estimates=estimate_files,
    output:
        directory(f"{RESULTS}/runs/{RUN}/fused"),
    log:
        f"{RESULTS}/logs/fuse/{RUN}.log",
    wildcard_constraints:
        method=f"(?=({EXTERNAL})/)[^/]+",
    conda:
        ENVIRONMENT
    params:
        code=code("adopt"),
        made_of=adopted_from,
        run=RUN,
        estimates=lambda wildcards: str(estimates_folder(wildcards)),
        reading=reading_json,
    message:
        "take {wildcards.method}/{wildcards.variant} of {wildcards.dataset} x{wildcards.ratio} from {params.estimates}"
    shell:
        "python -m smifbench.steps adopt --run {params.run:q} --pairs {input.pairs:q} --estimates {params.estimates:q} "
        "--reading {params.reading:q} --output {output:q} --log {log:q}"


rule score:
    input:
        pairs=pairs_folder,
        fused=f"{RESULTS}/runs/{RUN}/fused",
    output:
        f"{RESULTS}/runs/{RUN}/scores.csv",
    log:
        f"{RESULTS}/logs/score/{RUN}.log",
    conda:
        ENVIRONMENT
    params:
        code=code("score"),
        made_of=scores_from,
        run=RUN,
        experiment=EXPERIMENT.name,
    message:
        "score {wildcards.method}/{wildcards.variant} on {wildcards.dataset} x{wildcards.ratio}, seed {wildcards.seed}"
    shell:
        "python -m smifbench.steps score --experiment {params.experiment:q} --run {params.run:q} --pairs {input.pairs:q} "
        "--fused {input.fused:q} --output {output:q} --log {log:q}"
