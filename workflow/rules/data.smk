# From a data set's files to the image pairs that methods fuse.


rule download:
    input:
        code("download", "archives"),
    output:
        "data/raw/{dataset}/fetched",
    log:
        "data/logs/download/{dataset}.log",
    conda:
        ENVIRONMENT
    params:
        options=lambda wildcards: json.dumps(EXPERIMENT.datasets[wildcards.dataset]),
    message:
        "download {wildcards.dataset}, or check what was put by hand"
    shell:
        "python -m smifbench.steps download --dataset {wildcards.dataset:q} --options {params.options:q} "
        "--output {output:q} --log {log:q}"


rule prepare:
    input:
        lambda wildcards: plugin_code("datasets", wildcards.dataset),
        code("spectral", "cubes", "cube_content", "cube_numpy", "cube_matlab", "cube_envi", "cube_tiff"),
        fetched_files,
        source_files,
    output:
        cube="data/scenes/{dataset}/{scene}.npy",
        sidecar="data/scenes/{dataset}/{scene}.json",
    log:
        "data/logs/prepare/{dataset}/{scene}.log",
    conda:
        ENVIRONMENT
    params:
        options=lambda wildcards: json.dumps(EXPERIMENT.datasets[wildcards.dataset]),
    message:
        "prepare scene {wildcards.scene} of {wildcards.dataset}"
    shell:
        "python -m smifbench.steps prepare --dataset {wildcards.dataset:q} --options {params.options:q} --scene {wildcards.scene:q} "
        "--raw data/raw/{wildcards.dataset:q} --output {output.cube:q} --log {log:q}"


rule degrade:
    input:
        code("degradation"),
        scenes=prepared_scenes,
    output:
        directory(PAIRS),
    log:
        "data/logs/degrade/{dataset}/{protocol}/x{ratio}.log",
    conda:
        ENVIRONMENT
    message:
        "simulate the image pairs of {wildcards.dataset}: {wildcards.protocol}, ratio {wildcards.ratio}"
    shell:
        "python -m smifbench.steps degrade --prepared {input.scenes:q} --protocol {wildcards.protocol:q} --ratio {wildcards.ratio} "
        "--output {output:q} --log {log:q}"
