# One run of one method: train, fuse, score.


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


rule train:
    input:
        lambda wildcards: plugin_code("methods", wildcards.method),
        code("method", "problem", "scaling", "training"),
        pairs=PAIRS,
    output:
        directory(f"{RESULTS}/runs/{RUN}/trained"),
    log:
        f"{RESULTS}/logs/train/{RUN}.log",
    threads: EXPERIMENT.threads
    resources:
        gpu=int(EXPERIMENT.device != "cpu"),
    params:
        run=run_json,
        options=options_json,
        recipe=recipe_json,
        state=f"{RESULTS}/state/{RUN}.pt",
        device=EXPERIMENT.device,
    message:
        "train {wildcards.method}/{wildcards.variant} on {wildcards.dataset} x{wildcards.ratio}, seed {wildcards.seed}"
    shell:
        "{STEP} train --run {params.run:q} --pairs {input.pairs:q} --options {params.options:q} "
        "--recipe {params.recipe:q} --device {params.device:q} --threads {threads} --state {params.state:q} "
        "--output {output:q} --log {log:q}"


rule fuse:
    input:
        lambda wildcards: plugin_code("methods", wildcards.method),
        code("method", "problem", "scaling", "inference"),
        pairs=PAIRS,
        trained=trained_folder,
    output:
        directory(f"{RESULTS}/runs/{RUN}/fused"),
    log:
        f"{RESULTS}/logs/fuse/{RUN}.log",
    threads: EXPERIMENT.threads
    resources:
        gpu=int(EXPERIMENT.device != "cpu"),
    params:
        run=run_json,
        options=options_json,
        device=EXPERIMENT.device,
        trained=lambda wildcards, input: ["--trained", *input.trained] if input.trained else [],
    message:
        "fuse {wildcards.dataset} x{wildcards.ratio} with {wildcards.method}/{wildcards.variant}, seed {wildcards.seed}"
    shell:
        "{STEP} fuse --run {params.run:q} --pairs {input.pairs:q} --options {params.options:q} {params.trained:q} "
        "--device {params.device:q} --threads {threads} --output {output:q} --log {log:q}"


rule score:
    input:
        code("metrics", "scoring"),
        pairs=PAIRS,
        fused=f"{RESULTS}/runs/{RUN}/fused",
    output:
        f"{RESULTS}/runs/{RUN}/scores.csv",
    log:
        f"{RESULTS}/logs/score/{RUN}.log",
    params:
        run=run_json,
    message:
        "score {wildcards.method}/{wildcards.variant} on {wildcards.dataset} x{wildcards.ratio}, seed {wildcards.seed}"
    shell:
        "{STEP} score --experiment {EXPERIMENT.name:q} --run {params.run:q} --pairs {input.pairs:q} "
        "--fused {input.fused:q} --output {output:q} --log {log:q}"
