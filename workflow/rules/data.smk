# From a data set's files to the image pairs that methods fuse.


rule prepare:
    input:
        lambda wildcards: plugin_code("datasets", wildcards.dataset),
        code("spectral"),
    output:
        "data/scenes/{dataset}/{scene}.npy",
        "data/scenes/{dataset}/{scene}.json",
    log:
        "data/logs/prepare/{dataset}/{scene}.log",
    params:
        options=lambda wildcards: json.dumps(EXPERIMENT.datasets[wildcards.dataset]),
    message:
        "prepare scene {wildcards.scene} of {wildcards.dataset}"
    shell:
        "{STEP} prepare --dataset {wildcards.dataset:q} --options {params.options:q} --scene {wildcards.scene:q} "
        "--raw data/raw/{wildcards.dataset:q} --output {output[0]:q} --log {log:q}"


def prepared_scenes(wildcards):
    dataset = plugins.build_dataset(wildcards.dataset, **EXPERIMENT.datasets[wildcards.dataset])
    return [f"data/scenes/{wildcards.dataset}/{scene}.npy" for scene in dataset.scenes()]


rule degrade:
    input:
        code("degradation"),
        scenes=prepared_scenes,
    output:
        directory(PAIRS),
    log:
        "data/logs/degrade/{dataset}/{protocol}/x{ratio}.log",
    message:
        "simulate the image pairs of {wildcards.dataset}: {wildcards.protocol}, ratio {wildcards.ratio}"
    shell:
        "{STEP} degrade --prepared {input.scenes:q} --protocol {wildcards.protocol:q} --ratio {wildcards.ratio} "
        "--output {output:q} --log {log:q}"
