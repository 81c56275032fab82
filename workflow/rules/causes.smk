# What an output is made from, back to the data, in one digest: code and settings of all steps before its own, and the
# contents of the files that no step makes. It is a parameter of each rule, so that nothing is skipped in silence: not
# where a file between is gone, of which snakemake knows nothing more, and not where an edited file seems to be old.
import hashlib


def made_of(*parts):
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def once(of):
    """Ask only once for each run, or for the whole experiment, whatever the number of rules that want to know."""
    known = {}

    def asked(wildcards):
        key = RUN.format(**vars(wildcards)) if hasattr(wildcards, "method") else ""
        if key not in known:
            known[key] = of(wildcards)
        return known[key]

    return asked


@cache
def raw_from(data):
    return made_of(contents(below(EXPERIMENT.options(DATASET_OF[data]))))


@cache
def scene_from(data):
    files = dataset_files(EXPERIMENT, DATASET_OF[data])
    return made_of(raw_from(data), contents(responses()), contents(files))


@cache
def pairs_from(data, protocol):
    files = plugins.sources("datasets", EXPERIMENT.reader(DATASET_OF[data]))
    return made_of(scene_from(data), code("prepare", *files), contents(get_protocol(protocol).sources()))


@cache
def images_from(dataset, protocol):
    """Of all that reads pairs."""
    return made_of(pairs_from(EXPERIMENT.data_id(dataset), protocol), code("degrade"))


@once
def trained_from(run):
    return made_of(images_from(run.dataset, run.protocol), contents(option_files(run)))


@once
def fused_from(run):
    if not plugins.method_class(run.method).trainable:
        return trained_from(run)
    settings = options_json(run), recipe_json(run), EXPERIMENT.threads
    return made_of(trained_from(run), method_code("train")(run), settings)


@once
def adopted_from(run):
    return made_of(images_from(run.dataset, run.protocol), contents(estimate_files(run)))


@once
def scores_from(run):
    if run.method in EXPERIMENT.external:
        return made_of(adopted_from(run), code("adopt"), reading_json(run))
    settings = options_json(run), EXPERIMENT.threads, EXPERIMENT.memory_gb
    return made_of(fused_from(run), method_code("fuse")(run), settings)


@once
def rows_from(wildcards):
    return made_of(code("score"), [scores_from(run) for run in EXPERIMENT.runs()])


@once
def tests_from(run):
    return made_of(fused_from(run), contents(tests_files(run)))


@once
def tests_rows_from(wildcards):
    runs = [run for run in EXPERIMENT.runs() if run.method not in EXPERIMENT.external]
    settings = EXPERIMENT.threads, EXPERIMENT.memory_gb, EXPERIMENT.test_protocols, EXPERIMENT.test_ratios
    codes = [(options_json(run), method_code("robustness")(run)) for run in runs]
    return made_of([tests_from(run) for run in runs], codes, settings)


def losses_from(wildcards):
    return made_of(tests_rows_from(wildcards), code("collect"))


def cost_from(dataset):
    files = [file for method in EXPERIMENT.methods.values() for file in named(method["options"])]
    return made_of(images_from(dataset, EXPERIMENT.protocols[0]), contents([*published(), *files]))


@once
def costs_from(wildcards):
    rows = [cost_from(dataset) for dataset in EXPERIMENT.datasets]
    return made_of(rows, all_methods_code("cost"), all_methods_json(wildcards))


def description_from(wildcards):
    return made_of(contents(references()))


@once
def printed_from(wildcards):
    """Of tables, figures and pages: the rows, the costs, the description and the printed tables."""
    numbers = rows_from(wildcards), costs_from(wildcards), code("collect"), contents(published())
    about = description_from(wildcards), all_methods_code("describe", *data_set_files()), config_json(wildcards)
    return made_of(numbers, about)


def document_from(wildcards):
    return made_of(printed_from(wildcards), code("tables"), code("figures"))


def report_from(wildcards):
    return made_of(printed_from(wildcards), code("figures"), contents(templates()))


def summary_from(wildcards):
    return made_of(document_from(wildcards), report_from(wildcards), code("document"), code("report"))
