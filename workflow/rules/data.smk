# From a data set's files to the image pairs that methods fuse.


rule download:
    output:
        "data/fetched/{data}.json",
    log:
        "data/logs/download/{data}.log",
    conda:
        ENVIRONMENT
    params:
        code=code("download", also=("data.archives", "data.download")),
        made_of=lambda wildcards: raw_from(wildcards.data),
        reader=reader,
        options=dataset_options_json,
        attempt=attempt,
    message:
        "download {wildcards.data}, or check what was put by hand"
    shell:
        "python -m smifbench.steps download --reader {params.reader:q} --options {params.options:q} "
        "--raw data/raw/{params.reader:q} --attempt {params.attempt} --output {output:q} --log {log:q}"


rule prepare:
    input:
        responses(),
        fetched_files,
        source_files,
    output:
        cube="data/scenes/{data}/{scene}.npy",
        sidecar="data/scenes/{data}/{scene}.json",
    log:
        "data/logs/prepare/{data}/{scene}.log",
    conda:
        ENVIRONMENT
    params:
        code=lambda wildcards: code("prepare", *plugins.sources("datasets", reader(wildcards))),
        made_of=lambda wildcards: scene_from(wildcards.data),
        dataset=lambda wildcards: DATASET_OF[wildcards.data],
        reader=reader,
        options=dataset_options_json,
        fetched=lambda wildcards: ["--fetched", stamp] if (stamp := fetched_files(wildcards)) else [],
    message:
        "prepare scene {wildcards.scene} of {wildcards.data}"
    shell:
        "python -m smifbench.steps prepare --dataset {params.dataset:q} --reader {params.reader:q} "
        "--options {params.options:q} --scene {wildcards.scene:q} --raw data/raw/{params.reader:q} {params.fetched:q} --output {output.cube:q} --log {log:q}"


rule degrade:
    input:
        prepared_sidecars,
        protocol_files,
        scenes=prepared_scenes,
    output:
        directory("data/pairs/{data}/{protocol}/x{ratio}"),
    log:
        "data/logs/degrade/{data}/{protocol}/x{ratio}.log",
    conda:
        ENVIRONMENT
    params:
        code=code("degrade"),
        made_of=lambda wildcards: pairs_from(wildcards.data, wildcards.protocol),
    message:
        "simulate the image pairs of {wildcards.data}: {wildcards.protocol}, ratio {wildcards.ratio}"
    shell:
        "python -m smifbench.steps degrade --prepared {input.scenes:q} --protocol {wildcards.protocol:q} "
        "--ratio {wildcards.ratio} --output {output:q} --log {log:q}"
