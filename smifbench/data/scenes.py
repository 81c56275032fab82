"""Prepared scenes on disk, from which pairs are simulated.

A prepared scene is `<scene>.npy`, the HR-HSI (C, H, W) as float32 in [0,1]; the bands of an MSI that was measured with
it follow its own (C + c, H, W). `<scene>.json` beside it holds its split, its hashes, the wavelengths of the C bands
and, where known, their widths, the response of the multispectral sensor or null, and which pixels are missing: those
hold the values of their nearest valid neighbours.
"""

import hashlib
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from smifbench import plugins
from smifbench.data.missing import fill_nearest, mask_from_text, mask_to_text
from smifbench.data.responses import WEIGHTS
from smifbench.dataset import DataSet, File
from smifbench.errors import UserError
from smifbench.system.files import replacing, write_json
from smifbench.system.identity import array_hash, file_hash


def prepare(dataset: DataSet, name: str, scene: str, raw: Path, target: Path) -> None:
    """Read `scene` of the data set called `name` from `raw` and write it as the prepared scene `target` (.npy).

    Raises
    ------
    UserError
        When the cube is not (C, H, W) float32, holds NaN or infinite values or leaves [0,1], or a measured MSI is not
        of its size or has another number of bands than the response.
    """
    wavelengths_nm, srf = dataset.wavelengths_nm(raw), dataset.srf(raw)
    cube, missing = dataset.read(raw, scene), dataset.missing(raw, scene)
    _check_shape(cube, f"{name}/{scene}", len(wavelengths_nm))
    msi = dataset.msi(raw, scene)
    if msi is not None:
        _check_msi(msi, f"{name}/{scene}", cube.shape, srf)
        cube = np.concatenate([cube, msi])
    if missing is not None and not missing.any():
        missing = None
    if missing is not None:
        if missing.all():
            raise UserError(f"scene {name}/{scene} has no pixel with a value; choose another region or other bands")
        cube = fill_nearest(cube, missing)
    _check_values(cube, f"{name}/{scene}")
    with replacing(target) as temporary, temporary.open("wb") as file:
        np.save(file, cube)
    sidecar = _identity(dataset, name, scene) | {
        "shape": list(cube.shape),
        "sha256": array_hash(cube),
        "full_scale": np.asarray(dataset.full_scale(raw, scene)).tolist(),
        "sources": {file.name: _content_hash(file) for file in dataset.scene_files(raw, scene)},
        "wavelengths_nm": [round(float(value), 6) for value in wavelengths_nm],
        "srf": None if srf is None else srf.tolist(),
        "srf_weights": WEIGHTS,
        "measured_msi_bands": 0 if msi is None else len(msi),
    }
    if (bandwidths_nm := dataset.bandwidths_nm(raw)) is not None:
        sidecar["bandwidths_nm"] = [round(float(value), 6) for value in bandwidths_nm]
    if missing is not None:
        sidecar |= {"pixels_missing": int(missing.sum()), "missing": mask_to_text(missing)}
    write_json(target.with_suffix(".json"), sidecar)


def images_of(prepared: np.ndarray, sidecar: Mapping) -> tuple[np.ndarray, np.ndarray | None]:
    """HR-HSI (C, H, W) and measured MSI (c, H, W), None where there is none, of a prepared scene's array."""
    bands = len(sidecar["wavelengths_nm"])
    return prepared[:bands], prepared[bands:] if len(prepared) > bands else None


def missing_of(sidecar: Mapping) -> np.ndarray | None:
    """Mask (H, W) of the missing pixels of a prepared scene, from its `<scene>.json`; None where it has none."""
    if "missing" not in sidecar:
        return None
    _, height, width = sidecar["shape"]
    return mask_from_text(sidecar["missing"], (height, width))


def prepare_missing(dataset: DataSet, name: str, scene: str, reason: str, target: Path) -> None:
    """Write the prepared scene of a data set that could not be had: an empty array, and the reason beside it."""
    with replacing(target) as temporary, temporary.open("wb") as file:
        np.save(file, np.empty((0, 0, 0), np.float32))
    write_json(target.with_suffix(".json"), _identity(dataset, name, scene) | {"unavailable": reason})


def _identity(dataset: DataSet, name: str, scene: str) -> dict:
    """Name, data set, split and reader of a prepared scene."""
    reader = type(dataset).__module__.rpartition(".")[2]
    version = hashlib.sha256("".join(map(file_hash, plugins.sources("datasets", reader))).encode()).hexdigest()[:12]
    return {"name": scene, "dataset": name, "split": dataset.scenes()[scene], "reader": f"{reader} {version}"}


def _content_hash(file: File) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest() if isinstance(file, zipfile.Path) else file_hash(file)


def _check_shape(cube: np.ndarray, name: str, bands: int) -> None:
    if cube.ndim != 3 or len(cube) != bands:
        raise UserError(
            f"scene {name} was read with shape {cube.shape}, but its data set states {bands} wavelengths; "
            "the band axis must come first"
        )
    if cube.dtype != np.float32:
        raise UserError(f"scene {name} was read as {cube.dtype}; read() must return float32 in [0,1]")


def _check_msi(msi: np.ndarray, name: str, scene: tuple[int, ...], srf: np.ndarray | None) -> None:
    if msi.ndim != 3 or msi.shape[1:] != scene[1:]:
        raise UserError(f"the measured MSI of {name} has shape {msi.shape} and the scene {scene}; cut both alike")
    if msi.dtype != np.float32:
        raise UserError(f"the measured MSI of {name} was read as {msi.dtype}; msi() must return float32 in [0,1]")
    if srf is not None and len(srf) != len(msi):
        raise UserError(
            f"the measured MSI of {name} has {len(msi)} bands and the response {len(srf)}; state the response of that "
            "instrument's bands, or none"
        )


def _check_values(cube: np.ndarray, name: str) -> None:
    if not np.isfinite(cube).all():
        raise UserError(
            f"scene {name} holds {np.count_nonzero(~np.isfinite(cube))} NaN or infinite values; mask or repair them in "
            "the source file"
        )
    if cube.min() < 0 or cube.max() > 1:
        raise UserError(f"scene {name} ranges over {cube.min():.4g}..{cube.max():.4g}; scale it into [0,1]")
