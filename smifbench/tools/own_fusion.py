"""Fusing a user's own pair of files, and judging the result without a reference.

A network without weights is trained one scale down, by Wald's protocol (L. Wald, T. Ranchin, M. Mangolini,
Photogrammetric Engineering & Remote Sensing 63(6):691-699, 1997): both images are blurred and decimated by the PSF, and
the LR-HSI is what the network learns to restore. Then it fuses the pair itself.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage
from tqdm import tqdm

from smifbench import metrics, plugins
from smifbench.data.cubes.content import band_list
from smifbench.data.cubes.writing import check_output, check_suffix, write_cube
from smifbench.data.missing import blocks_with_missing
from smifbench.data.own_pair import OwnPair
from smifbench.data.responses import spectral_response
from smifbench.degradation.estimation import Operators, estimate
from smifbench.degradation.filling import fill_pair
from smifbench.degradation.operators import apply_srf, blur_decimate, overhang
from smifbench.degradation.pairs import Pair
from smifbench.degradation.protocol import get_protocol
from smifbench.errors import UserError
from smifbench.evaluation.no_reference import assess
from smifbench.experiment.config import Experiment, load_experiment
from smifbench.experiment.recipes import resolved_recipe
from smifbench.fusion import build, zoo
from smifbench.fusion.scaled import ScaledNetwork
from smifbench.fusion.tiles import fuse
from smifbench.fusion.trained import find_trained
from smifbench.fusion.weights import load_weights, save_weights
from smifbench.method import FusionMethod, Recipe
from smifbench.places import DEMO
from smifbench.problem import FusionProblem
from smifbench.system.devices import pick_device
from smifbench.system.files import write_json
from smifbench.system.identity import code_id
from smifbench.training.loop import Training

CONTROL = "gsa"
"""The linear method that a trained network must beat on its own training image to count as trained."""

DEFAULT_STEPS = 2000
"""Budget of a network that the experiment does not list."""

MOST_UNEXPLAINED = 0.5
"""Share of the MSI's variance that a pair of one ground may leave to neither response nor PSF. Pairs of Indian Pines
have 0.00-0.15 without and with noise of 20 dB, one LR pixel out of place 0.4, two 0.7, other ground 0.8-1.1."""


@dataclass(frozen=True)
class Choices:
    """What a user may choose of how a pair is fused.

    Parameters
    ----------
    weights
        Weights of a network, trained for as many bands: a run's `weights.safetensors`, or the results folder of an
        experiment (`results/demo`) that has trained the method at the pair's ratio, or an entry of the zoo
        (`zoo:lla_net-cave-x4`); the options of the latter two then hold. None trains the network on the pair.
    steps
        Budget of that training; None takes the experiment's.
    config
        Experiment whose options and recipe of the method hold; the demo's are those of narrow networks, about a minute
        of training. A method that it does not name has its own recipe, with `DEFAULT_STEPS` steps.
    psf
        `"estimate"`, or the id of a protocol.
    srf
        `"estimate"`, or what `smifbench.data.responses.load_response` takes. Gains and offsets of the MSI are fitted
        anyway.
    seed
        Of the initial weights and the order of the patches.
    device
        `"auto"`, `"cpu"` or `"cuda"`.
    memory_gb
        Bound that fusing keeps, see `smifbench.fusion.tiles.fuse`; reading, judging and writing hold whole images
        besides.
    """

    weights: str | Path | None = None
    steps: int | None = None
    config: str | Path = DEMO
    psf: str = "estimate"
    srf: str = "estimate"
    seed: int = 0
    device: str = "auto"
    memory_gb: float | None = None


def fuse_pair(pair: OwnPair, method: str, output: str | Path, choices: Choices) -> dict:
    """Fuse a pair and write the result, and beside it a JSON file with its quality and how it was made.

    Parameters
    ----------
    pair
        The images, see `smifbench.data.own_pair.read_pair`.
    method
        A file name under `methods/`.
    output
        File to write; its suffix says the format. Values keep the HSI's units, order of bands and integer type (else
        float32), the geo-reference is that of the MSI's file. A network trained here is kept beside it (.safetensors).
    choices
        How to fuse.

    Returns
    -------
    dict
        What the JSON file holds.

    Raises
    ------
    UserError
        One sentence, for images of different ground, weights that do not fit, or a method that cannot take the pair.
    """
    output = Path(output).expanduser()
    check_suffix(output)
    cls = plugins.method_class(method)
    if not cls.trainable and (choices.weights or choices.steps):
        raise UserError(f"{method} solves instead of learning; leave out --weights and --train")
    refuse_harm(output, pair, [choices.weights, choices.config, choices.srf])
    operators = find_operators(pair, choices.psf, choices.srf)
    lr_hsi, hr_msi = pair.lr_hsi, operators.calibrated(pair.hr_msi)
    missing, usable = pair.missing, pair.usable(max(1, _reach(operators, pair)))
    if usable is not None:
        lr_hsi, hr_msi = fill_pair(
            lr_hsi, hr_msi, operators.psf, operators.srf, pair.ratio, pair.hsi_missing, pair.msi_missing, usable
        )
    problem = FusionProblem(
        len(pair.lr_hsi), len(hr_msi), pair.ratio, operators.psf, operators.srf, pair.increasing_wavelengths_nm
    )
    reason = cls.skip(problem)
    if reason:
        raise UserError(f"{method} cannot take this pair: {reason}")
    where = pick_device(choices.device)
    options, recipe = _settings(method, load_experiment(choices.config), choices.steps)
    weights, stated, doubts = _weights(choices.weights, method, problem)
    options = options if stated is None else stated
    torch.manual_seed(choices.seed)
    built = build.build_method(method, problem, **options)
    model: FusionMethod | ScaledNetwork = built
    training = {}
    if cls.trainable:
        model = ScaledNetwork(built).to(where)
        if weights:
            load_weights(model, weights)
            training = {"weights": str(weights)}
        else:
            reduced = one_scale_down(lr_hsi, hr_msi, operators.psf, pair.ratio, pair.usable(0))
            model, training = _train(model, reduced, pair.ratio, recipe, choices.seed, where)
            save_weights(model, output.with_suffix(".safetensors"))
    fused = fuse(model, lr_hsi, hr_msi, where, choices.memory_gb)
    result = pair.result(fused)
    quality = assess(
        fused,
        lr_hsi,
        hr_msi,
        operators.psf,
        operators.srf,
        pair.ratio,
        missing,
        None if usable is None else ~usable,
    )
    about = {
        "result": str(output),
        "hsi": str(pair.hsi_path),
        "msi": str(pair.msi_path),
        "method": method,
        "options": options,
        "training": training,
        "ratio": pair.ratio,
        "scale": pair.scale,
        "pixels_missing": 0 if missing is None else int(missing.sum()),
        "missing": {
            "hsi": 0 if pair.hsi_missing is None else int(pair.hsi_missing.sum()),
            "msi": 0 if pair.msi_missing is None else int(pair.msi_missing.sum()),
            "written_as": None if missing is None else f"{result.nodata:g}",
        },
        "bands": {"hsi": band_list(pair.hsi_bands), "msi": band_list(pair.msi_bands)},
        "quality": {name: None if _undefined(value) else value for name, value in quality.items()},
        "operators": _describe_operators(operators, choices.psf, choices.srf, pair.scale),
        "wavelengths_nm": None if pair.wavelengths_nm is None else pair.wavelengths_nm.tolist(),
        "code": code_id(*plugins.sources("methods", method)),
    }
    about["notes"] = [*pair.notes, *_tell_missing(pair, usable, training), *doubts, *write_cube(output, result)]
    write_json(output.with_suffix(".json"), about)
    return about


def describe(about: Mapping) -> str:
    """Tell what `fuse_pair` returned in a few lines."""
    quality, operators = about["quality"], about["operators"]
    row, column = operators["psf_centre"]
    lines = [
        f"{about['result']}: {about['method']}, ratio {about['ratio']}",
        *_describe_missing(about),
        f"psf: {operators['psf_source']}, its centre ({row:+.2f}, {column:+.2f}) HR pixels off the block's",
        f"srf: {operators['srf_source']}; an MSI value is an HSI value times {_numbers(operators['gain'])}, plus "
        f"{_numbers(operators['offset'])}",
        *_describe_training(about["training"]),
        f"quality without a reference (1 stands for the HSI value {about['scale']:g}):",
    ]
    for name, image in (("spectral", "result blurred, against the HSI"), ("spatial", "its MSI, against the MSI")):
        found = quality[f"{name}_consistency"]
        lines.append(
            f"  {name} consistency ({image}): RMSE {found['rmse']:.5f}, SAM {found['sam']:.3f} degrees, "
            f"ERGAS {found['ergas']:.4f}"
        )
    if quality["qnr"] is None:
        lines.append("  QNR: none, because missing pixels leave no block of it whole")
    else:
        lines.append(f"  QNR {quality['qnr']:.4f} (D_lambda {quality['d_lambda']:.4f}, D_s {quality['d_s']:.4f})")
    if max(abs(row), abs(column)) > 1:
        lines.append("note: the estimated PSF lies off its block; the images may not be registered to each other")
    return "\n".join([*lines, *(f"note: {note}" for note in about["notes"])])


def _describe_missing(about: Mapping) -> list[str]:
    if not about["pixels_missing"]:
        return []
    found = about["missing"]
    return [
        f"missing pixels: {found['hsi']} of the HSI, {found['msi']} of the MSI; the result's {about['pixels_missing']} "
        f"pixels on their ground are written as {found['written_as']}, and no number here counts them"
    ]


def _tell_missing(pair: OwnPair, usable: np.ndarray | None, training: Mapping) -> list[str]:
    """Say which pixels are missing by which value, what that does to the others, and how to be free of it."""
    if usable is None:
        return []
    images = (("HSI", pair.hsi, pair.hsi_missing), ("MSI", pair.msi, pair.msi_missing))
    found = [
        f"{missing.sum()} of {missing.size} pixels of the {name} are missing ({cube.missing_mark or 'beyond it'})"
        for name, cube, missing in images
        if missing is not None
    ]
    trained = "steps" in training
    learned = "all estimates and the weights" if trained else "all estimates"
    other = ", or give --weights of a network trained on whole images" * trained
    return [
        f"{' and '.join(found)}: {learned} come from the {np.count_nonzero(usable)} of {usable.size} LR pixels that "
        "see none of them, and the method saw values filled in there, so the other pixels may differ from those of a "
        f"whole pair; crop both files to ground without missing pixels where that must not be{other}"
    ]


def _describe_training(training: Mapping) -> list[str]:
    if "steps" not in training:
        return []
    verdict = "" if training["psnr"] > training["control_psnr"] else "; it is not trained, give it more steps"
    return [
        f"trained for {training['steps']} steps one scale down, where it reaches {training['psnr']:.2f} dB and the "
        f"linear control {CONTROL} {training['control_psnr']:.2f} dB{verdict}"
    ]


def find_operators(pair: OwnPair, psf: str = "estimate", srf: str = "estimate") -> Operators:
    """PSF, response, gains and offsets of a pair, as named or estimated; raises UserError where it is no pair."""
    known_psf = None if psf == "estimate" else get_protocol(psf).psf(pair.ratio)
    known_srf = None if srf == "estimate" else _named_response(pair, srf)
    reach = 1 if known_psf is None else max(1, math.ceil(overhang(known_psf, pair.ratio) / pair.ratio))
    usable = pair.usable(reach)
    operators = estimate(pair.lr_hsi, pair.hr_msi, pair.ratio, known_psf, known_srf, usable)
    lr_msi = blur_decimate(torch.from_numpy(operators.calibrated(pair.hr_msi)), operators.psf, pair.ratio).numpy()
    residual = apply_srf(torch.from_numpy(pair.lr_hsi), operators.srf).numpy() - lr_msi
    counted = None if usable is None else ~usable
    residual, lr_msi = metrics.valid_pixels(residual, counted), metrics.valid_pixels(lr_msi, counted)
    unexplained = float(np.mean(residual.var((1, 2)) / np.maximum(lr_msi.var((1, 2)), 1e-30)))
    if unexplained > MOST_UNEXPLAINED:
        raise UserError(
            f"the HSI explains only {max(0.0, 1 - unexplained):.0%} of the MSI's variance, so the two seem to show "
            "different ground: check that they are the right files, that rows and columns run alike, and register them"
        )
    return operators


def one_scale_down(
    lr_hsi: np.ndarray, hr_msi: np.ndarray, psf: np.ndarray, ratio: int, usable: np.ndarray | None = None
) -> Pair:
    """Degrade a pair (C, h, w), (c, H, W) by Wald's protocol, so that `lr_hsi` becomes the reference.

    Sides that the ratio does not divide are cropped at their end. LR pixels that are not `usable` (h, w), if that is
    given, are missing pixels of the new pair, and make those missing that stand on their ground.
    """
    height, width = (side // ratio * ratio for side in lr_hsi.shape[1:])
    reference = np.ascontiguousarray(lr_hsi[:, :height, :width])
    coarse = blur_decimate(torch.from_numpy(reference), psf, ratio).numpy()
    lr_msi = blur_decimate(torch.from_numpy(hr_msi), psf, ratio).numpy()
    masks = []
    if usable is not None and not usable[:height, :width].all():
        missing = ~usable[:height, :width]
        masks = [missing, blocks_with_missing(missing, ratio)]
    return Pair("own pair", "train", reference, coarse, np.ascontiguousarray(lr_msi[:, :height, :width]), "", *masks)


def _train(
    network: ScaledNetwork, pair: Pair, ratio: int, recipe: Recipe, seed: int, device: torch.device
) -> tuple[ScaledNetwork, dict]:
    """Train on the pair one scale down; returns the network to keep and what is to be told about it."""
    side = min(pair.hr_hsi.shape[1:])
    if side < 2 * ratio:
        raise UserError(
            f"an HSI of {side} pixels a side is too small to train on at ratio {ratio}; give --weights, or "
            "take a method that solves, such as gsa"
        )
    largest = min(recipe.patch, side) // ratio * ratio
    patch = _patch(pair, largest, ratio)
    recipe = replace(recipe, patch=patch, batch=round(recipe.batch * (largest / patch) ** 2))  # as many pixels a step
    training = Training(network, [pair], [], recipe, seed)
    training.run(partial(tqdm, desc="train one scale down", mininterval=2, disable=None))
    trained, control = training.finished(), build.build_method(CONTROL, network.network.problem)
    psnr, control_psnr = (
        metrics.psnr(
            metrics.valid_pixels(pair.hr_hsi, pair.missing),
            metrics.valid_pixels(fuse(model, pair.lr_hsi, pair.hr_msi, device), pair.missing),
        )
        for model in (trained, control)
    )
    return trained, {
        "steps": training.step,
        "seconds": round(training.seconds, 3),
        "psnr": psnr,
        "control_psnr": control_psnr,
        "recipe": asdict(recipe),
    }


def _patch(pair: Pair, largest: int, ratio: int) -> int:
    """Side of the patches: the largest, but small enough that squares without missing pixels cover half of the rest."""
    if pair.lr_missing is None:
        return largest
    valid = ~pair.lr_missing
    for side in range(largest // ratio, 0, -1):
        covered = ndimage.binary_opening(valid, np.ones((side, side)))
        if 2 * np.count_nonzero(covered) >= np.count_nonzero(valid) > 0:
            return side * ratio
    raise UserError(
        "missing pixels leave nothing to train on; give --weights, or take a method that solves, such as gsa"
    )


def _settings(method: str, experiment: Experiment, steps: int | None) -> tuple[dict, Recipe]:
    """Options and recipe of a method in an experiment."""
    budget = {"steps": steps} if steps else {}
    about = experiment.methods.get((method, "default"))
    if about is None:
        return {}, resolved_recipe(method, "own", {"steps": DEFAULT_STEPS}, budget)
    return about["options"], resolved_recipe(method, experiment.recipe, experiment.training, about["recipe"], budget)


def _weights(
    weights: str | Path | None, method: str, problem: FusionProblem
) -> tuple[Path | None, dict | None, list[str]]:
    """Return the file of the weights, the options behind it as far as they are stated, and what is doubtful."""
    if weights is None:
        return None, None, []
    if zoo.is_reference(weights):
        entry = zoo.find(str(weights))
        entry.check_fits(method, problem)
        return entry.whole_path(), entry.options, entry.doubts(problem)
    path = Path(weights).expanduser()
    if not path.is_dir():
        return path, None, []
    trained = find_trained(path, method, ratio=problem.ratio)
    return trained.folder / "weights.safetensors", trained.options, []


def refuse_harm(output: Path, pair: OwnPair, others: Sequence[str | Path | None]) -> None:
    """Refuse an output that would replace a file that was read, or that would not be found again beside its header."""
    check_output(output, pair.files)
    read = [*pair.files, *(Path(str(other)) for other in others if other)]
    beside = [output.with_suffix(suffix) for suffix in (".json", ".safetensors")]
    for path in (output, output.with_suffix(".hdr"), *beside):
        for source in read:
            if path.exists() and source.exists() and path.samefile(source):
                raise UserError(f"{source} is an input and would be replaced; write to another name than {output}")
    for path in beside:
        if path.exists() and not _written_here(beside[0]):
            raise UserError(f"{path} is there already and was not written by fuse; write to another name than {output}")


def _written_here(path: Path) -> bool:
    """Whether a JSON file is one that `fuse_pair` wrote."""
    try:
        about = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(about, dict) and {"result", "method", "operators"} <= about.keys()


def _undefined(value: object) -> bool:
    """NaN, for which JSON has no word."""
    return isinstance(value, float) and math.isnan(value)


def _reach(operators: Operators, pair: OwnPair) -> int:
    """LR pixels around its own that the PSF lets an LR pixel see."""
    return math.ceil(overhang(operators.psf, pair.ratio) / pair.ratio)


def _named_response(pair: OwnPair, srf: str) -> np.ndarray:
    centres = pair.increasing_wavelengths_nm
    if centres is None:
        raise UserError(
            f"the HSI states no wavelengths, which response {srf} needs; give --wavelengths, or estimate it"
        )
    widths = None if pair.bandwidths_nm is None else pair.bandwidths_nm[pair.order]
    response = spectral_response(srf, centres, widths)
    if len(response) != len(pair.hr_msi):
        raise UserError(
            f"response {srf} has {len(response)} bands, but the MSI {len(pair.hr_msi)}; name another or a CSV, or "
            "estimate it"
        )
    return response


def _describe_operators(operators: Operators, psf: str, srf: str, scale: float) -> dict:
    """Operators as lists; gains are those between the files' units."""
    steps = np.arange(len(operators.psf)) - (len(operators.psf) - 1) / 2
    return {
        "psf_source": "estimated" if psf == "estimate" else psf,
        "srf_source": "estimated" if srf == "estimate" else srf,
        "psf_centre": [float(operators.psf.sum(axis) @ steps) for axis in (1, 0)],
        "gain": (operators.gain / scale).tolist(),
        "offset": operators.offset.tolist(),
        "psf": operators.psf.tolist(),
        "srf": operators.srf.tolist(),
    }


def _numbers(values: list[float]) -> str:
    return " ".join(f"{value:.3g}" for value in values)
