"""Cube files: a header's claim is read for what it says or refused, with little memory; the values are the file's."""

import os
import struct
import subprocess
import sys

import h5py
import numpy as np
import pytest
import rasterio
from fuzzing import HOSTILE_NUMBERS, damaged, fuzzed, sentence_or
from hypothesis import given
from hypothesis import strategies as st
from scipy.io import savemat

from smifbench import plugins
from smifbench.data.cubes.reading import read_cube

CODES = {"1": "u1", "2": "i2", "3": "i4", "4": "f4", "5": "f8", "12": "u2", "13": "u4", "14": "i8", "15": "u8"}
STORED = {
    "bsq": ("bands", "lines", "samples"),
    "bil": ("lines", "bands", "samples"),
    "bip": ("lines", "samples", "bands"),
}
DATA = np.random.default_rng(3).integers(0, 256, 4096, np.uint8).tobytes()

SIDES = (
    st.integers(1, 20).map(str) | HOSTILE_NUMBERS | st.sampled_from([str(10**12), str(2**32), str(2**62), "8 ", "+8"])
)
CENTRES = st.lists(st.floats(350, 2500).map(str) | HOSTILE_NUMBERS, max_size=20)
FIELDS = {
    "samples": SIDES,
    "lines": SIDES,
    "bands": SIDES,
    "header offset": st.sampled_from(["0", "0", "5", "4095", "4096"]) | HOSTILE_NUMBERS,
    "data type": st.sampled_from(list(CODES)) | st.sampled_from(["6", "9", "0", "", "2.0"]),
    "interleave": st.sampled_from(["bsq", "BIL", "Bip "]) | st.sampled_from(["bsq;", "", "tile"]),
    "byte order": st.sampled_from(["0", "1"]) | HOSTILE_NUMBERS,
    "wavelength": CENTRES.map(lambda centres: f"{{{', '.join(centres)}}}"),
    "wavelength units": st.sampled_from(["Nanometers", "Micrometers", "Unknown", "parsecs", "{"]),
    "fwhm": st.sampled_from(["{10, 10}", "{", "}", "10"]),
    "data ignore value": st.sampled_from(["0", "255", "-9999", "1e39", "nan", "{1}", "none"]) | HOSTILE_NUMBERS,
    "data gain values": st.sampled_from(["{0.5, 0.25, 2}", "{1, 1, 1}", "{0, 1, 1}", "{1e308, 1, 1}", "{2}", "x"]),
    "reflectance scale factor": st.sampled_from(["10000", "1", "0.5", "0", "{10000}"]) | HOSTILE_NUMBERS,
    "data offset values": st.sampled_from(["{0, -1, 10}", "{0, 0, 0}", "{nan, 0, 0}", "{}"]),
    "map info": st.sampled_from(
        [
            "{UTM, 1, 1, 600000, 5320000, 10, 10, 32, North, WGS-84, units=Meters}",
            *("{UTM, 1, 1, nan, inf, 0, 0, 99, North}", "{Arbitrary, 1}", "{}", "{" + "UTM, " * 500 + "}"),
        ]
    ),
    "coordinate system string": st.sampled_from(["{PROJCS[}", '{GEOGCS["x", DATUM[', "{EPSG:99999999}"]),
    "file type": st.sampled_from(["ENVI Standard", "TIFF", "", "ENVI Meta"]),
    "bbl": st.sampled_from(["{1, 0}", "{" + "0," * 5000 + "}"]),
}
USUAL = {"samples": "8", "lines": "4", "bands": "3", "data type": "12", "interleave": "bsq", "byte order": "0"}


def whole(text):
    """A whole number as headers may write it."""
    return int(text.partition(".")[0])


@st.composite
def headers(draw):
    """A usual header with up to four lines drawn anew, left out or said twice; its lines as pairs."""
    lines = list(USUAL.items())
    for _ in range(draw(st.integers(0, 4))):
        key = draw(st.sampled_from(sorted(FIELDS)))
        if draw(st.integers(0, 9)):
            lines = [line for line in lines if line[0] != key]
        if draw(st.integers(0, 9)):
            lines.insert(draw(st.integers(0, len(lines))), (key, draw(FIELDS[key])))
    return lines


@fuzzed
@given(headers())
def test_an_envi_header_is_read_for_what_it_says_or_refused(tmp_path_factory, little_memory, lines):
    header = tmp_path_factory.getbasetemp() / "claim.hdr"
    header.with_suffix(".img").write_bytes(DATA)
    header.write_text("ENVI\n" + "".join(f"{key} = {value}\n" for key, value in lines), encoding="utf-8")
    cube = sentence_or(read_cube, header)
    if cube is None:
        return
    says = {key: value.strip() for key, value in lines}
    dtype = np.dtype(CODES[says["data type"]]).newbyteorder("<>"[whole(says.get("byte order", "0"))])
    axes = STORED[says["interleave"].lower()]
    shape = [whole(says[axis]) for axis in axes]
    stored = np.frombuffer(DATA, dtype, np.prod(shape), whole(says.get("header offset", "0"))).reshape(shape)
    stored = stored.transpose([axes.index(axis) for axis in STORED["bsq"]])
    if cube.gain is None:
        np.testing.assert_array_equal(cube.array, stored)
        missing = np.zeros(stored.shape[1:], bool) if cube.missing is None else cube.missing
        lost = stored == cube.nodata if cube.nodata is not None else np.zeros(stored.shape, bool)
        lost = lost | ~np.isfinite(stored)
        if dtype.kind != "f" or abs(cube.nodata or 0) < 1e30:
            np.testing.assert_array_equal(missing, lost[cube.good_bands].any(0))
    else:
        assert len(cube.gain) == len(cube.offset) == len(stored)
        with np.errstate(all="ignore"):
            values = np.float64(stored) * cube.gain[:, None, None] + cube.offset[:, None, None]
            there = ~np.isnan(cube.array)
            np.testing.assert_allclose(cube.array[there], values.astype(cube.array.dtype)[there], rtol=1e-6)
    if cube.grid is not None:
        assert len(cube.grid.transform.to_gdal()) == 6
    if cube.wavelengths_nm is not None:
        assert len(cube.wavelengths_nm) == len(cube.array)
        assert np.isfinite(cube.wavelengths_nm).all()


@fuzzed
@given(st.data())
def test_a_damaged_envi_header_is_read_or_refused(tmp_path_factory, little_memory, data):
    header = tmp_path_factory.getbasetemp() / "damaged.hdr"
    header.with_suffix(".img").write_bytes(DATA)
    header.write_bytes(data.draw(damaged(("ENVI\n" + "\n".join(map(" = ".join, USUAL.items()))).encode())))
    cube = sentence_or(read_cube, header)
    assert cube is None or cube.array.nbytes <= len(DATA)


@pytest.fixture(scope="module")
def mat_files(tmp_path_factory):
    """The same cube in the versions of .mat, as bytes; and the cube."""
    folder = tmp_path_factory.mktemp("mat")
    cube = np.random.default_rng(5).integers(0, 1000, (9, 8, 3)).astype(np.uint16)
    variables = {"cube": cube, "wavelengths": [450.0, 550.0, 650.0], "about": "words", "mask": np.ones((9, 8), bool)}
    for name, options in {"v5": {}, "v5 packed": {"do_compression": True}}.items():
        savemat(folder / f"{name}.mat", variables, **options)
    for name, options in {"v7.3": {}, "v7.3 packed": {"compression": "gzip", "fletcher32": True}}.items():
        with h5py.File(folder / f"{name}.mat", "w") as file:
            file.create_dataset("cube", data=cube.T, **options)
    return {path.stem: path.read_bytes() for path in folder.glob("*.mat")}, np.moveaxis(cube, -1, 0)


@fuzzed
@given(data=st.data())
def test_a_damaged_mat_file_is_read_or_refused(tmp_path_factory, mat_files, little_memory, data):
    """Where the format keeps a checksum of the values, they are right; elsewhere the cube fits into the file."""
    files, cube = mat_files
    version = data.draw(st.sampled_from(sorted(files)))
    path = tmp_path_factory.getbasetemp() / "damaged.mat"
    path.write_bytes(data.draw(damaged(files[version])))
    read = sentence_or(read_cube, path)
    if read is None:
        return
    values = np.array(read.array)
    if version == "v5 packed":
        np.testing.assert_array_equal(values, cube)
    assert values.nbytes <= max(path.stat().st_size, cube.nbytes * 8)


@fuzzed
@given(
    dims=st.lists(st.sampled_from([0, 1, 2, 5, 10, 2**16, 2**31 - 1, -1, -5]), min_size=0, max_size=6),
    kind=st.integers(0, 20),
    stored=st.sampled_from([0, 4, 100, 200, 2**31]),
    flags=st.sampled_from([9, 11, 15, 1, 2, 4, 0x80B, 0x40B, 2**32 - 1]),
    name=st.binary(max_size=12),
)
def test_a_mat_header_claims_nothing_that_is_believed(tmp_path_factory, little_memory, dims, kind, stored, flags, name):
    def element(kind, data, length=None):
        return struct.pack("<II", kind, len(data) if length is None else length) + data + b"\0" * (-len(data) % 8)

    body = element(6, struct.pack("<II", flags, 0)) + element(5, struct.pack(f"<{len(dims)}i", *dims))
    body += element(1, name) + element(kind, b"\1" * 100, stored)
    path = tmp_path_factory.getbasetemp() / "claim.mat"
    path.write_bytes(
        b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack("<H", 256) + b"IM" + struct.pack("<II", 14, len(body)) + body
    )
    read = sentence_or(read_cube, path)
    if read is not None:
        assert read.array.nbytes == stored == 100
        assert set(np.array(read.array).tobytes()) == {1}


@pytest.fixture(scope="module")
def rasters(tmp_path_factory):
    """The same cube as GDAL writes it with a mask, with gains and with a grid, as bytes; and the cube."""
    folder = tmp_path_factory.mktemp("rasters")
    cube = np.random.default_rng(6).integers(1, 1000, (3, 20, 16)).astype(np.uint16)
    about = {"count": 3, "height": 20, "width": 16, "dtype": "uint16", "driver": "GTiff"}
    place = {"crs": "EPSG:32632", "transform": rasterio.Affine(10, 0, 600000, 0, -10, 5320000)}
    kinds = {
        "plain": {},
        "packed": {"compress": "deflate", "predictor": 2},
        "lzw tiles": {"compress": "lzw", "tiled": True, "blockxsize": 16, "blockysize": 16, **place},
        "no data": {"nodata": 7, "interleave": "band", **place},
    }
    for name, options in kinds.items():
        with rasterio.open(folder / f"{name}.tif", "w", **about, **options) as file:
            file.write(cube)
            if name == "packed":
                file.scales, file.offsets = [0.5, 2, 1], [0, -1, 10]
        if name == "lzw tiles":
            with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(folder / f"{name}.tif", "r+") as file:
                file.write_mask(cube[0] > 100)
    return {path.stem: path.read_bytes() for path in folder.glob("*.tif")}


@fuzzed
@given(data=st.data())
def test_a_damaged_tiff_is_read_or_refused(tmp_path_factory, rasters, little_memory, data):
    path = tmp_path_factory.getbasetemp() / "damaged.tif"
    path.write_bytes(data.draw(damaged(rasters[data.draw(st.sampled_from(sorted(rasters)))])))
    read = sentence_or(read_cube, path)
    if read is None:
        return
    assert read.array.ndim == 3
    shape = read.array.shape[1:]
    assert read.mask is None or read.mask.shape == shape
    assert read.missing is None or (read.missing.shape == shape and read.missing.any())
    if read.gain is not None:
        assert np.isfinite(read.gain).all()
        assert len(read.gain) == len(read.array)


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_AS bounds the memory of a process on Linux")
def test_a_header_of_10_to_the_12_samples_needs_no_memory(tmp_path):
    """In a process that may not have 256 MB more than Python and numpy; a sparse file gives the header its length."""
    text = "ENVI\nsamples = 1000000000000\nlines = 1\nbands = 3\ndata type = 1\ninterleave = bsq\n"
    (tmp_path / "claim.hdr").write_text(text)
    (tmp_path / "claim.img").write_bytes(DATA)
    code = (
        "import resource, sys\n"
        "from smifbench.data.cubes.reading import read_cube; from smifbench.errors import UserError\n"
        "size = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize() + 2**28\n"
        "resource.setrlimit(resource.RLIMIT_AS, (size, size))\n"
        "try: read_cube(sys.argv[1])\n"
        "except UserError as error: print(error)"
    )
    environment = {**os.environ, "PYTHONPATH": str(plugins.ROOT)}
    command = [sys.executable, "-c", code, str(tmp_path / "claim.hdr")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert "claims 3 x 1 x 1000000000000 uint8, 3000000000000 bytes, but claim.img has 4096" in done.stdout
