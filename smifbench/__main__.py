"""The command line: `smifbench COMMAND`, or `python -m smifbench COMMAND`."""

import argparse
import math
import os
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

from smifbench import __version__
from smifbench.errors import UserError
from smifbench.places import INSTALLED

NO_WORKFLOW = "experiments are run by snakemake in a checkout of the repository; an installed package has no Snakefile"


def methods(args: argparse.Namespace) -> None:
    """List the methods with their options."""
    from smifbench import plugins

    def line(name: str) -> str:
        cls = plugins.method_class(name)
        options = ", ".join(f"{key}={value}" for key, value in plugins.method_options(cls).items())
        kind = "network" if cls.trainable else "solver"
        return f"{name:12} {cls.title:12} {kind:8} {options}"

    _list("methods", line)


def datasets(args: argparse.Namespace) -> None:
    """List the data sets with their scenes and licence."""
    from smifbench import plugins

    def line(name: str) -> str:
        dataset = plugins.build_dataset(name)
        splits = list(dataset.scenes().values())
        counts = ", ".join(f"{splits.count(split)} {split}" for split in ("train", "val", "test"))
        return f"{name:14} {dataset.title:20} scenes: {counts}; licence: {dataset.licence}; {dataset.homepage}"

    _list("datasets", line)


def _list(folder: str, line: Callable[[str], str]) -> None:
    """Print a line for each plug-in of a folder; raises UserError for those that are broken, after the others."""
    from smifbench import plugins

    broken = []
    for name in plugins.names(folder):
        try:
            print(line(name))
        except UserError as error:
            broken.append(str(error))
    if broken:
        raise UserError("; ".join(broken))


def inspect(args: argparse.Namespace) -> None:
    """Describe the hyperspectral cube in a file, and draw a quick look of it."""
    from smifbench.data.cubes import inspection

    png = args.png or f"{Path(args.file).stem}.png"
    print(inspection.inspect(args.file, args.variable, args.band_axis, png, shape=args.shape, ask=as_flag))


def as_flag(option: str) -> str:
    """Call an option of reading as the command `inspect` does; what it has no flag for is a key of a config."""
    return option if option == "drop_bands" else "--" + option.replace("_", "-")


FLAGS = {
    "set 'device: cpu' or 'device: auto' in the config": "say --device cpu or --device auto",
    "(memory_gb)": "(--memory-gb)",
    "recipe.patch is": "recipe.patch of --config is",
    "follows none of the HSI's bands; leave it out": "follows none of the HSI's bands; leave it out by --msi-bands",
}
"""What `fuse` says in the place of a config's keys."""


def fuse(args: argparse.Namespace) -> None:
    """Fuse a hyperspectral and a multispectral file of one ground, and judge the result without a reference."""
    from smifbench.data.own_image import ImageFiles, speaking_of
    from smifbench.data.own_pair import read_pair
    from smifbench.system.precision import be_exact
    from smifbench.tools.own_fusion import Choices, describe, fuse_pair

    be_exact()
    hsi, msi = (
        ImageFiles(
            paths,
            getattr(args, f"{image}_variable"),
            getattr(args, f"{image}_band_axis"),
            getattr(args, f"{image}_bands"),
            getattr(args, f"{image}_missing") or (),
        )
        for image, paths in (("hsi", [args.hsi]), ("msi", args.msi))
    )
    chosen = {field.name: getattr(args, field.name) for field in fields(Choices)}
    choices = Choices(**{name: value for name, value in chosen.items() if value is not None})
    with speaking_of(FLAGS):
        pair = read_pair(hsi, msi, args.wavelengths, args.scale, args.align)
        print(describe(fuse_pair(pair, args.method, args.output, choices)))


def score(args: argparse.Namespace) -> None:
    """Score one estimate against its reference, by every metric, whatever code has made it."""
    import json

    from smifbench.tools.own_scores import Pair, Source, as_json, describe, score_files

    def source(image: str) -> Source:
        variable, band_axis, own = (getattr(args, f"{image}_{option}") for option in ("variable", "band_axis", "scale"))
        path, flag = getattr(args, image), "--" + image.replace("_", "-")
        return Source(path, flag, variable, band_axis, own or args.scale)

    if args.psf != "estimate" and not args.lr_hsi:
        raise UserError("--psf is the blur of an LR-HSI; name that by --lr-hsi")
    if args.srf != "estimate" and not args.hr_msi:
        raise UserError("--srf is the response of an HR-MSI; name that by --hr-msi")
    lr_hsi, hr_msi = (source(image) if getattr(args, image) else None for image in ("lr_hsi", "hr_msi"))
    pair = Pair(lr_hsi, hr_msi, args.psf, args.srf)
    scores = score_files(source("reference"), source("estimate"), args.ratio, pair)
    print(json.dumps(as_json(scores), indent=2) if args.json else describe(scores))


def cost(args: argparse.Namespace) -> None:
    """Count every network at the paper's sizes, and explain its FLOPs column cell by cell."""
    from smifbench.paper.flops import paper_cost
    from smifbench.system.files import replacing

    table = paper_cost()
    print(table.to_string(index=False, float_format="{:.3f}".format))
    if args.output:
        with replacing(args.output) as temporary:
            table.to_csv(temporary, index=False)


def plan(args: argparse.Namespace) -> None:
    """Estimate what an experiment takes: runs, training time and disk space."""
    from smifbench.experiment.config import load_experiment
    from smifbench.experiment.plan import summary

    print(summary(load_experiment(args.config), args.tflops))
    if INSTALLED:
        print(f"note: {NO_WORKFLOW}")


def throughput(args: argparse.Namespace) -> None:
    """Measure how fast networks train, in shares of the device's rates and against a plain loop."""
    from smifbench import plugins
    from smifbench.system.devices import pick_device
    from smifbench.training.throughput import COLUMNS, measure_all

    trained = [name for name in plugins.names("methods") if plugins.method_class(name).trainable]
    methods, device = args.methods or trained, pick_device(args.device)
    rows = measure_all(methods, args.patch, args.batch, args.seconds, device, Path(args.output))
    widths = [max(len(row[column]) for row in [*rows, {column: column}]) for column in COLUMNS]
    for row in [dict(zip(COLUMNS, COLUMNS, strict=True)), *rows]:
        print("  ".join(row[column].ljust(width) for column, width in zip(COLUMNS, widths, strict=True)).rstrip())


def compare(args: argparse.Namespace) -> None:
    """Print the metric means of result folder B minus those of A: positive where B has the larger value."""
    from smifbench.evaluation import results

    print(results.compare(args.a, args.b).to_string(index=False))


def zoo(args: argparse.Namespace) -> None:
    """List the trained weights that the suite ships."""
    from smifbench.fusion import zoo
    from smifbench.metrics import METRICS

    for entry in map(zoo.find, zoo.names()):
        problem = entry.problem
        scores = [f"{name} {entry.mean(name):.{METRICS[name].digits}f}" for name in ("psnr", "sam", "paper_psnr")]
        print(
            f"{entry.name:20} {entry.title:12} {entry.data['title']} x{problem.ratio}, "
            f"{problem.bands} with {problem.msi_bands} bands; {', '.join(scores)} on {len(entry.rows)} scenes; "
            f"{entry.path.stat().st_size / 1e6:.2f} MB"
        )


def verify(args: argparse.Namespace) -> None:
    """Compute rows anew: a result folder's from its estimates and pairs, the zoo's from its weights and the data."""
    if args.zoo is None:
        from smifbench.tools.verification import verify

        _refuse(args, "--data", "is for --zoo; the pairs of a result folder are named by --pairs")
        verdicts = verify(args.folder, None if args.all else args.rows or 5, args.seed or 0, args.pairs)
    else:
        from smifbench.system.precision import be_exact
        from smifbench.tools.zoo_verification import verify_zoo

        for flag in ("--rows", "--all", "--seed", "--pairs"):
            _refuse(args, flag, "is for result folders; --zoo computes every row of an entry from --data")
        be_exact()
        verdicts = verify_zoo(args.zoo, args.data)
    for row, complaint in verdicts:
        print(f"{row}: {complaint or 'holds'}")
    wrong = [row for row, complaint in verdicts if complaint]
    if wrong:
        whose = args.folder or "the zoo"
        raise UserError(f"{len(wrong)} of {len(verdicts)} rows of {whose} do not hold, first {wrong[0]}")
    print(f"all {len(verdicts)} rows computed anew hold")


def _refuse(args: argparse.Namespace, flag: str, why: str) -> None:
    """Raise UserError where a flag is given that does not go with the others."""
    value = getattr(args, flag.removeprefix("--"))
    if value is not None and value is not False:
        raise UserError(f"{flag} {why}")


def submit(args: argparse.Namespace) -> None:
    """Write the folder by which results are handed in to the leaderboard."""
    from smifbench.tools.submission import submit

    target = Path(args.output or Path("results") / "reference" / args.name)
    _tell(submit(Path(args.results), args.name, target, args.test_scenes_chose_nothing, args.weights_at), args.results)
    print(f"wrote {target}; what to do with it: docs/submit.md")


def check_submission(args: argparse.Namespace) -> None:
    """Check results that were handed in, and compute their rows anew where estimates or weights are there."""
    import datetime

    from smifbench.evaluation.submission import EVIDENCE, LACKS, read_submission, record_verified
    from smifbench.system.identity import code_id
    from smifbench.system.precision import be_exact
    from smifbench.tools.submission import compare_estimates, compute_anew
    from smifbench.tools.submission_check import check

    folder = Path(args.folder)
    _tell(check(folder), folder)
    for key in read_submission(folder).lacks:
        print(f"lacks {key}: {LACKS[key]}")
    print("whole and plausible")
    for flag in ("--data", "--weights", "--methods"):
        if not args.run_again:
            _refuse(args, flag, "is for --run-again")
    if args.results:
        verdicts = compare_estimates(folder, Path(args.results), args.pairs)
    elif args.run_again:
        be_exact()
        verdicts = compute_anew(folder, args.data, args.weights, args.methods or ())
    else:
        return
    held, wrong = {}, 0
    for run, basis, rows in verdicts:
        complaints = [f"{row}: {complaint}" for row, complaint in rows if complaint]
        print("\n".join(complaints) or f"{run.folder}: all {len(rows)} rows hold, {EVIDENCE[basis]}", flush=True)
        wrong += bool(complaints)
        if not complaints:
            held[run.folder] = basis
    if args.record and held:
        record_verified(folder, held, code_id(), datetime.date.today().isoformat())
    if wrong or not held:
        raise UserError(f"{wrong} runs of {folder} do not hold" if wrong else f"no run of {folder} could be computed")


def _tell(complaints: list[str], folder: str | Path) -> None:
    """Print complaints; raises UserError where there is one."""
    for complaint in complaints:
        print(complaint)
    if complaints:
        raise UserError(f"{folder} cannot be taken as it is, for {len(complaints)} reasons, first: {complaints[0]}")


def leaderboard(args: argparse.Namespace) -> None:
    """Write the standing leaderboard, a page of all results that were handed in and of the printed ones."""
    from smifbench.places import REFERENCE
    from smifbench.report.board import write_board

    entries = write_board(Path(args.results or REFERENCE), Path(args.output))
    print(f"wrote {args.output} with {entries} entries")


def new_method(args: argparse.Namespace) -> None:
    """Write the skeleton of a new method."""
    from smifbench.tools import scaffold

    path = scaffold.new_method(args.name)
    print(f"wrote {path}; add '{args.name}: {{}}' under 'methods:' of a config and run snakemake")
    if INSTALLED:
        print(f"note: {NO_WORKFLOW}; `smifbench fuse --method {args.name}` needs none")


def _positive(text: str) -> int:
    if not (text.isdecimal() and int(text)):
        raise argparse.ArgumentTypeError(f"'{text}' is no whole number of at least 1")
    return int(text)


def _positive_number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"'{text}' is no number above 0")
    return value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="smifbench", description=__doc__)
    parser.add_argument("--version", action="version", version=f"smifbench {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, function) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=function.__doc__, description=function.__doc__)
        added.set_defaults(function=function)
        return added

    command("methods", methods)
    command("datasets", datasets)
    command("zoo", zoo)
    added = command("inspect", inspect)
    added.add_argument("file", help="NumPy, MATLAB, ENVI, GeoTIFF, another raster or a product, see docs/files.md")
    added.add_argument("--variable", help="name of the variable, where the file holds several")
    added.add_argument("--band-axis", type=int, help="axis of the bands, counted from 0, where it is not plain")
    rows_and_columns = ("ROWS", "COLUMNS")
    added.add_argument("--shape", type=_positive, nargs=2, metavar=rows_and_columns, help="of a matrix of pixels")
    added.add_argument("--png", help="where to write the quick look; <file>.png in this folder otherwise")
    _add_fuse_options(command("fuse", fuse))
    _add_score_options(command("score", score))
    command("cost", cost).add_argument("--output", help="CSV file to write the table to")
    added = command("plan", plan)
    added.add_argument("config", help="a config file, such as config/paper.yaml")
    added.add_argument("--tflops", type=_positive_number, help="10^12 operations a second that the device sustains")
    added = command("throughput", throughput)
    added.add_argument("methods", nargs="*", help="methods to measure; all that are trained otherwise")
    added.add_argument("--patch", type=int, default=64, help="side of the HR patches in pixels")
    added.add_argument("--batch", type=int, default=16, help="patches in a batch")
    added.add_argument("--seconds", type=float, default=5, help="time for each loop of each method")
    added.add_argument("--device", default="auto", help="auto, cpu or cuda")
    added.add_argument("--output", default="throughput.csv", help="CSV file; rows that it holds are not measured again")
    added = command("compare", compare)
    added.add_argument("a", help="a result folder, such as results/demo")
    added.add_argument("b", help="another result folder")
    added = command("verify", verify)
    what = added.add_mutually_exclusive_group(required=True)
    what.add_argument("folder", nargs="?", help="a result folder, such as results/demo")
    what.add_argument("--zoo", nargs="?", const="", metavar="NAME", help="an entry of the zoo, or all")
    added.add_argument("--data", help="with --zoo: folder that holds the data set's files")
    added.add_argument("--rows", type=_positive, help="how many rows are drawn; 5 by default")
    added.add_argument("--all", action="store_true", help="every row")
    added.add_argument("--seed", type=int, help="decides which rows are drawn; 0 by default")
    added.add_argument("--pairs", help="folder of all pairs; data/pairs beside results/ by default")
    added = command("submit", submit)
    added.add_argument("results", help="finished results, such as results/mine")
    added.add_argument("--name", required=True, help="of the submission: lower-case letters, digits and _")
    added.add_argument("--weights-at", metavar="ADDRESS", help="where the trained weights can be had")
    added.add_argument(
        "--test-scenes-chose-nothing", action="store_true", help="state that no choice was made by the test scenes"
    )
    added.add_argument("--output", help="folder to write; results/reference/NAME by default")
    added = command("check-submission", check_submission)
    added.add_argument("folder", help="such as results/reference/mine")
    how = added.add_mutually_exclusive_group()
    how.add_argument("--results", help="results that still keep the estimates; every row is computed from them")
    how.add_argument("--run-again", action="store_true", help="fuse the test scenes once more, and score")
    added.add_argument("--pairs", help="with --results: folder of all pairs; data/pairs beside results/ by default")
    added.add_argument("--data", type=Path, help="with --run-again: folder that holds the data sets' files")
    added.add_argument("--weights", type=Path, help="with --run-again: folder that holds safetensors files")
    added.add_argument("--methods", nargs="+", help="with --run-again: these alone")
    added.add_argument("--record", action="store_true", help="write down what holds, for the leaderboard")
    added = command("leaderboard", leaderboard)
    added.add_argument("--results", help="folder of submissions; results/reference of the repository by default")
    added.add_argument("--output", default="leaderboard.html", help="HTML file to write")
    command("new-method", new_method).add_argument("name", help="lower-case name of the file in methods/")
    return parser


def _add_score_options(added: argparse.ArgumentParser) -> None:
    for image, what in (
        ("reference", "true HR-HSI"),
        ("estimate", "fused cube"),
        ("lr-hsi", "LR-HSI that was fused, for the spectral consistency"),
        ("hr-msi", "HR-MSI that was fused, for the spatial consistency"),
    ):
        needed = image in ("reference", "estimate")
        added.add_argument(f"--{image}", type=Path, required=needed, metavar="FILE", help=f"{what}; see docs/files.md")
        added.add_argument(f"--{image}-variable", help="name of its variable, where the file holds several")
        added.add_argument(f"--{image}-band-axis", type=int, help="axis of its bands, counted from 0")
        added.add_argument(f"--{image}-scale", type=_positive_number, help="value in it that becomes 1; as --scale")
    added.add_argument("--ratio", type=_positive, required=True, help="spatial ratio of the images that were fused")
    added.add_argument("--scale", type=_positive_number, default=1.0, help="value in all files that becomes 1; 1")
    added.add_argument("--psf", default="estimate", help="a protocol's id, or 'estimate' (default)")
    added.add_argument("--srf", default="estimate", help="a response's name or CSV file, or 'estimate' (default)")
    added.add_argument("--json", action="store_true", help="print JSON")


def _add_fuse_options(added: argparse.ArgumentParser) -> None:
    added.add_argument("--method", required=True, help="a method's name, see the command methods")
    added.add_argument("--hsi", required=True, metavar="A", help="low-resolution hyperspectral file or product")
    added.add_argument(
        "--msi",
        required=True,
        nargs="+",
        metavar="B",
        help="high-resolution multispectral file, several files of single bands, or a Sentinel-2 folder (.SAFE)",
    )
    added.add_argument("--output", "--out", required=True, metavar="C", help=".npy, .npz, .mat, .hdr, .img or .tif")
    budget = added.add_mutually_exclusive_group()
    budget.add_argument(
        "--weights", metavar="W", help="safetensors file of a network, results that hold it (results/demo), or zoo:NAME"
    )
    budget.add_argument(
        "--train",
        dest="steps",
        type=_positive,
        nargs="?",
        metavar="STEPS",
        help="train on the pair (default), so many steps",
    )
    added.add_argument("--config", help="experiment whose options and recipe the method takes; config/demo.yaml")
    added.add_argument("--psf", help="a protocol's id, or 'estimate' (default)")
    added.add_argument("--srf", help="a response's name or CSV file, or 'estimate' (default)")
    added.add_argument("--wavelengths", help="centres of A's bands in nm: a CSV file, or numbers with commas between")
    added.add_argument("--scale", type=float, help="value of A that becomes 1; its largest, rounded up, otherwise")
    for image in ("hsi", "msi"):
        added.add_argument(f"--{image}-variable", help=f"name of the {image.upper()}'s variable in its file")
        added.add_argument(f"--{image}-band-axis", type=int, help="axis of its bands, counted from 0")
        added.add_argument(
            f"--{image}-bands", metavar="BANDS", help="bands to keep: 0-99,110 or 420-900nm, 'not 3,7-9', or all"
        )
        added.add_argument(
            f"--{image}-missing",
            type=float,
            action="append",
            metavar="VALUE",
            help="stored number that means: no value",
        )
    added.add_argument("--align", action="store_true", help="warp the MSI onto the grid that divides A's pixels")
    added.add_argument("--seed", type=int, help="of initial weights and patches; 0")
    added.add_argument("--device", choices=["auto", "cpu", "cuda"], help="where a network runs; auto")
    added.add_argument("--memory-gb", type=float, help="fuse in tiles where the whole would take more than so many GB")


def main(arguments: list[str] | None = None) -> int:
    """Run a command; returns its exit status, 2 for a user's mistake."""
    args = _parser().parse_args(arguments)
    try:
        args.function(args)
        sys.stdout.flush()
    except BrokenPipeError:  # who reads has seen enough, as in `smifbench methods | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nothing is left to be flushed at the end
    except (UserError, OSError) as error:  # a full disk or a folder without write permission is no defect either
        print(f"smifbench: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
