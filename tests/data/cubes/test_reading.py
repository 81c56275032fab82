"""Reading cubes: every format gives back what was written, and a broken file ends in one sentence."""

import os
import struct
import tracemalloc
import zipfile
import zlib

import h5py
import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_up_cubes import ENVI_LAYOUT, NM, TYPES, braces, cube_of, write_envi
from scipy.io import savemat

from smifbench.data.cubes.content import band_list
from smifbench.data.cubes.reading import files_of, full_scale, nanometres, read_cube, row_blocks
from smifbench.errors import UserError


def assert_holds(path, cube, **options):
    read = read_cube(path, **options)
    assert read.array.dtype.newbyteorder("=") == cube.dtype
    np.testing.assert_array_equal(read.array, cube)
    return read


def assert_refused(path, *words, **options):
    """One sentence of moderate length that names the file, without a traceback and without much memory."""
    tracemalloc.start()
    try:
        with pytest.raises(UserError) as error:
            read_cube(path, **options)
        assert tracemalloc.get_traced_memory()[1] < 2**25
    finally:
        tracemalloc.stop()
    message = str(error.value)
    assert "\n" not in message
    assert len(message) < 700
    for word in (path.stem, *words):
        assert word in message
    return message


@pytest.mark.parametrize("interleave", ENVI_LAYOUT)
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("dtype", TYPES)
def test_envi_round_trip(tmp_path, interleave, order, dtype):
    cube = cube_of(dtype)
    header = write_envi(tmp_path, cube, interleave, order, offset=37)
    read = assert_holds(header, cube)
    assert isinstance(read.array, np.memmap)
    assert read.format == f"ENVI {interleave}"
    assert read.band_axis == ENVI_LAYOUT[interleave].index(0)


@pytest.mark.parametrize(
    ("name", "suffix"), [("scene", ""), ("a scene\u00e4", ".DAT"), ("scene.raw", ""), ("s", ".bil")]
)
def test_envi_data_file_is_found_and_finds_its_header(tmp_path, name, suffix):
    header = write_envi(tmp_path, cube_of(), "bil", name=name, suffix=suffix)
    data = tmp_path / f"{name}{suffix}"
    for path in (header, data, str(data)):
        assert_holds(path, cube_of())
        assert files_of(path) == [header, data]


def test_envi_through_a_symlink_and_with_lines_in_capitals(tmp_path):
    header = write_envi(tmp_path / "real place", cube_of(), "bip")
    text = (
        header.read_text()
        .replace("samples =", "SAMPLES=")
        .replace("interleave = bip", "; a comment\nInterleave =  BIP ")
    )
    header.write_bytes(text.replace("\n", "\r\n").encode())
    for name in ("scene.hdr", "scene.img"):
        (tmp_path / name).symlink_to(tmp_path / "real place" / name)
    assert_holds(tmp_path / "scene.hdr", cube_of())


@pytest.mark.parametrize("dtype", [*TYPES, "i1", "f2", "?", ">u2", ">f4"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_npy_round_trip(tmp_path, dtype, order):
    cube = cube_of("u1").astype(dtype)
    np.save(tmp_path / "cube.npy", np.asarray(cube.transpose(1, 2, 0), order=order))
    read = read_cube(tmp_path / "cube.npy", band_axis=-1)
    assert isinstance(read.array, np.memmap)
    assert read.array.dtype == cube.dtype
    np.testing.assert_array_equal(read.array, cube)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz_round_trip(tmp_path, save):
    path = tmp_path / "cube.npz"
    save(path, cube=cube_of(), Wavelengths_um=np.array(NM) / 1000, mask=np.ones((20, 13)))
    read = assert_holds(path, cube_of())
    assert read.variable == "cube"
    np.testing.assert_allclose(read.wavelengths_nm, NM)


@pytest.mark.parametrize("compress", [True, False])
@pytest.mark.parametrize("dtype", TYPES)
def test_mat5_round_trip(tmp_path, dtype, compress):
    path = tmp_path / "cube.mat"
    names = {"X": cube_of(dtype).transpose(1, 2, 0), "wavelength": np.array(NM), "about": "words", "flag": True}
    savemat(path, names, do_compression=compress)
    read = assert_holds(path, cube_of(dtype))
    assert (read.format, read.variable, read.band_axis) == ("MATLAB v5", "X", 2)
    np.testing.assert_array_equal(read.wavelengths_nm, NM)


def write_mat73(path, arrays, **options):
    """Write arrays as MATLAB does: behind a block of text, with the axes the other way round."""
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, array in arrays.items():
            file.create_dataset(name, data=np.asarray(array).T, **options)
        file.create_group("#refs#")
        file.create_group("structure").create_dataset("inner", data=np.zeros((2, 2, 2)))
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")


@pytest.mark.parametrize("options", [{}, {"compression": "gzip", "chunks": True}])
def test_mat73_round_trip(tmp_path, options):
    path = tmp_path / "cube.mat"
    write_mat73(path, {"ref": cube_of("f8").transpose(1, 2, 0), "lbl": np.ones((20, 13)), "lambda": [NM]}, **options)
    read = assert_holds(path, cube_of("f8"))
    assert (read.format, read.variable, read.band_axis) == ("MATLAB v7.3", "ref", 2)
    np.testing.assert_array_equal(read.wavelengths_nm, NM)


TIFF_LAYOUTS = {
    "pages": ((0, 1, 2), {}),
    "plain pages": ((0, 1, 2), {"metadata": None}),
    "planes": ((0, 1, 2), {"planarconfig": "separate"}),
    "pixels": ((1, 2, 0), {"planarconfig": "contig"}),
    "deflated tiles": ((1, 2, 0), {"planarconfig": "contig", "compression": "zlib", "tile": (16, 16)}),
    "deflated pages": ((0, 1, 2), {"compression": "zlib"}),
    "BigTIFF": ((0, 1, 2), {"bigtiff": True}),
}


@pytest.mark.parametrize("layout", TIFF_LAYOUTS)
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("dtype", ["u1", "u2", "i2", "f4", "f8"])
def test_tiff_round_trip(tmp_path, layout, order, dtype):
    axes, options = TIFF_LAYOUTS[layout]
    path = tmp_path / "cube.tif"
    tifffile.imwrite(path, cube_of(dtype).transpose(axes), byteorder=order, photometric="minisblack", **options)
    read = assert_holds(path, cube_of(dtype))
    assert isinstance(read.array, np.memmap) == ("deflated" not in layout)


def test_tiff_states_its_band_axis_where_no_rule_could_tell(tmp_path):
    cube = cube_of(shape=(18, 20, 19))
    tifffile.imwrite(tmp_path / "a.tif", cube, photometric="minisblack", planarconfig="separate")
    tifffile.imwrite(tmp_path / "b.tif", cube.transpose(1, 2, 0), photometric="minisblack", planarconfig="contig")
    tifffile.imwrite(tmp_path / "c.tif", cube, photometric="minisblack", metadata=None)
    for name in "abc":
        assert_holds(tmp_path / f"{name}.tif", cube)
    tifffile.imwrite(tmp_path / "any array.tif", cube, photometric="minisblack")
    assert_refused(tmp_path / "any array.tif", "set band_axis")
    assert_holds(tmp_path / "any array.tif", cube, band_axis=0)


@pytest.mark.parametrize(
    ("name", "scale", "extra"),
    [("wavelength", 1, '<Item name="wavelength_units">Nanometers</Item>'), ("CENTRAL_WAVELENGTH_UM", 1000, "")],
)
def test_tiff_wavelengths_of_gdal(tmp_path, name, scale, extra):
    items = "".join(
        f'<Item name="{name}" sample="{band}">{value / scale}</Item>' for band, value in reversed(list(enumerate(NM)))
    )
    tag = (42112, "s", 0, f"<GDALMetadata>{items}{extra}</GDALMetadata>", True)
    tifffile.imwrite(
        tmp_path / "cube.tif", cube_of(), photometric="minisblack", planarconfig="separate", extratags=[tag]
    )
    np.testing.assert_allclose(read_cube(tmp_path / "cube.tif").wavelengths_nm, NM)


@pytest.mark.parametrize(
    ("unit", "scale"),
    [
        ("Nanometers", 1),
        ("nm", 1),
        ("Micrometers", 1000),
        ("\u00b5m", 1000),
        ("\u03bcm", 1000),
        ("um", 1000),
        ("Angstroms", 0.1),
        ("Unknown", 1),
        ("Unknown", 1000),
        (None, 1),
        (None, 1000),
    ],
)
def test_envi_wavelengths_and_widths_in_any_unit(tmp_path, unit, scale):
    values = {"wavelength": braces(np.array(NM) / scale), "fwhm": braces(np.full(6, 12.5) / scale)}
    read = read_cube(write_envi(tmp_path, cube_of(), wavelength_units=unit, **values))
    np.testing.assert_allclose(read.wavelengths_nm, NM)
    np.testing.assert_allclose(read.bandwidths_nm, 12.5)
    assert read.notes == ()


def test_envi_in_latin_1(tmp_path):
    header = write_envi(tmp_path, cube_of(), wavelength=braces(np.array(NM) / 1000), wavelength_units="\u00b5m")
    header.write_bytes(header.read_text(encoding="utf-8").encode("latin-1"))
    np.testing.assert_allclose(read_cube(header).wavelengths_nm, NM)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"wavelength": braces([*NM[:5], "nan"])}, "wavelength 6 is 'nan'"),
        ({"wavelength": braces([*NM[:5], "red"])}, "wavelength 6 is 'red'"),
        ({"wavelength": braces([*NM[:5], 1e999])}, "wavelength 6 is 'inf'"),
        ({"wavelength": braces(NM[:5])}, "5 wavelengths for 6 bands"),
        ({"wavelength": braces([-450, *NM[1:]])}, "range over -450..700 nm"),
        ({"wavelength": braces([0.45, *NM[1:]])}, "range over 0.45..700 nm"),
        ({"wavelength": braces(np.array(NM) / 1000), "wavelength units": "Nanometers"}, "range over 0.45..0.7 nm"),
        ({"wavelength": braces(NM), "wavelength units": "GHz"}, "'ghz' is no unit of length"),
    ],
)
def test_wavelengths_that_cannot_be_right_are_left_out_with_the_reason(tmp_path, changes, words):
    read = read_cube(write_envi(tmp_path, cube_of(), **changes))
    assert read.wavelengths_nm is None
    assert words in read.notes[-1]


def test_envi_notes_what_a_user_should_know(tmp_path):
    more = {"bbl": braces([0, 1, 1, 0, 0, 1]), "data_ignore_value": -9999, "reflectance_scale_factor": 10000}
    notes = " ".join(read_cube(write_envi(tmp_path, cube_of(), **more)).notes)
    assert "drop_bands: [0, [3, 4]]" in notes
    assert "data ignore value -9999 is none that its type can hold" in notes
    assert "the file's reflectance scale factor is 10000" in notes


@pytest.mark.parametrize(
    ("shape", "bands", "axis"),
    [
        ((150, 150, 100), None, 2),
        ((145, 145, 200), None, 2),
        ((31, 512, 512), None, 0),
        ((12, 31, 12), None, 1),
        ((610, 340, 103), None, 2),
        ((50, 60, 25), None, 2),
        ((50, 60, 26), None, None),
        ((512, 217, 224), None, None),
        ((9, 9, 9), None, None),
        ((512, 217, 224), 224, 2),
        ((50, 60, 20), 50, 0),
        ((60, 60, 20), 60, None),
        ((60, 60, 20), 7, 2),
    ],
)
def test_band_axis_is_found_or_asked_for(tmp_path, shape, bands, axis):
    np.save(tmp_path / "cube.npy", np.zeros(shape, np.uint8))
    if axis is None:
        assert_refused(tmp_path / "cube.npy", str(shape), "set band_axis to 0, 1 or 2", bands=bands)
    else:
        read = read_cube(tmp_path / "cube.npy", bands=bands)
        assert read.band_axis == axis
        assert f"band axis {axis}" in read.notes[0]


@pytest.mark.parametrize("axis", [3, -4, True, "2", 1.0])
def test_a_band_axis_that_does_not_exist(tmp_path, axis):
    np.save(tmp_path / "cube.npy", cube_of())
    with pytest.raises(UserError, match="band_axis must be 0, 1 or 2"):
        read_cube(tmp_path / "cube.npy", band_axis=axis)


def test_stated_band_axis_keeps_the_order_of_the_others(tmp_path):
    cube = cube_of()
    np.save(tmp_path / "cube.npy", cube)
    for axis in range(3):
        np.testing.assert_array_equal(
            read_cube(tmp_path / "cube.npy", band_axis=axis).array, np.moveaxis(cube, axis, 0)
        )


@pytest.mark.parametrize("suffix", [".npz", ".mat", "73.mat"])
def test_variables_are_chosen_by_name(tmp_path, suffix):
    path = tmp_path / f"cube{suffix}"
    arrays = {"first": cube_of("u2"), "second": cube_of("f4"), "flat": np.ones((3, 4))}
    if suffix == ".npz":
        np.savez(path, **arrays)
    else:
        savemat(path, arrays) if suffix == ".mat" else write_mat73(path, arrays)
    assert_refused(path, "2 arrays", "first", "second", "option variable")
    assert_refused(path, "'secnd'", "did you mean 'second'", variable="secnd")
    assert_refused(path, "flat", "three axes", variable="flat")
    assert assert_holds(path, arrays["second"], variable="second", band_axis=0).variable == "second"


def test_pickles_are_never_loaded(tmp_path):
    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "sprung"),)

    trap = np.array([[[Trap()]]], dtype=object)
    np.save(tmp_path / "trap.npy", trap, allow_pickle=True)
    np.savez(tmp_path / "traps.npz", trap=trap, allow_pickle=True)
    assert_refused(tmp_path / "trap.npy", "real numbers")
    assert_refused(tmp_path / "traps.npz", "0 arrays of real numbers")
    assert_refused(tmp_path / "traps.npz", "trap", variable="trap")
    np.savez(tmp_path / "mixed.npz", trap=trap, cube=cube_of(), wavelengths=np.array([Trap()] * 6))
    assert_holds(tmp_path / "mixed.npz", cube_of())
    (tmp_path / "bare.npy").write_bytes(b"cos\nmkdir\n(S'" + str(tmp_path / "sprung").encode() + b"'\ntR.")
    assert_refused(tmp_path / "bare.npy", "cannot be read")
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"samples": 10**12}, ["claims", "complete the file"]),
        ({"samples": 10**6, "lines": 10**6, "bands": 10**6}, ["claims"]),
        ({"samples": 2**32, "lines": 2**32}, ["claims"]),
        ({"samples": "9" * 5000}, ["'samples'", "whole number of at least 1"]),
        ({"lines": -20}, ["'lines' is '-20'"]),
        ({"bands": 0}, ["'bands' is '0'"]),
        ({"bands": "nan"}, ["'bands' is 'nan'"]),
        ({"bands": 6.5}, ["'bands' is '6.5'"]),
        ({"bands": "\u0666"}, ["'bands'"]),
        ({"bands": 7}, ["claims", "has 3120"]),
        ({"bands": None}, ["does not state 'bands'"]),
        ({"header offset": -1}, ["'header offset' is '-1'"]),
        ({"header offset": 1}, ["3121 bytes", "has 3120"]),
        ({"header offset": 10**17}, ["claims"]),
        ({"data type": 6}, ["'data type' is '6'", "real numbers"]),
        ({"data type": 99}, ["'data type' is '99'"]),
        ({"data type": None}, ["'data type'"]),
        ({"interleave": "zip"}, ["'interleave' is 'zip'", "bsq, bil or bip"]),
        ({"interleave": None}, ["'interleave'"]),
        ({"byte order": 2}, ["'byte order'"]),
        ({"file compression": 1}, ["compressed"]),
        ({"wavelength": "{1, 2, 3"}, ["brace of 'wavelength'", "close it"]),
    ],
)
def test_hostile_envi_header(tmp_path, changes, words):
    header = write_envi(tmp_path, cube_of(), **changes)
    assert_refused(header, *words)


def test_envi_with_no_or_two_data_files_or_a_huge_header(tmp_path):
    header = write_envi(tmp_path, cube_of())
    (tmp_path / "scene.raw").write_bytes(b"")
    assert_refused(header, "scene.img, scene.raw", "Name the data file")
    (tmp_path / "scene.raw").unlink()
    (tmp_path / "scene.img").unlink()
    assert_refused(header, "found: none")
    header.write_bytes(b"ENVI\n" + b" " * 2**23)
    (tmp_path / "scene.img").write_bytes(b"")
    assert_refused(header, "shorter than 4 MiB")
    header.write_bytes(b"ncols 4")
    assert_refused(header, "must begin with the word ENVI")


def npy_claim(shape, dtype="'<u2'"):
    header = f"{{'descr': {dtype}, 'fortran_order': False, 'shape': {shape}}}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + b"\0" * 100


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        ((10**4, 10**4, 10**4), "'<u2'"),
        ((2**32, 2**32, 1), "'<u2'"),
        ((-2, 5, 5), "'<u2'"),
        ((0, 5, 5), "'<u2'"),
        ((5, 10), "'<u2'"),
        ((2, 5, 5), "'<c8'"),
        ((2, 5, 1), "[('a', '<u2')]"),
        ((2, 5, 1), "'|O'"),
        ((2, 5, 1), "'banana'"),
        ("(" * 500, "'<u2'"),
    ],
)
def test_hostile_npy_and_npz(tmp_path, shape, dtype):
    (tmp_path / "cube.npy").write_bytes(npy_claim(shape, dtype))
    assert_refused(tmp_path / "cube.npy")
    with zipfile.ZipFile(tmp_path / "cube.npz", "w") as archive:
        archive.writestr("cube.npy", npy_claim(shape, dtype))
    assert_refused(tmp_path / "cube.npz")


def test_a_zip_bomb_is_refused_before_it_unpacks(tmp_path):
    """A member of some KB that would unpack to more than the memory."""
    blow = 2**45
    with zipfile.ZipFile(tmp_path / "cube.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("cube.npy", npy_claim((2**15, 2**15, blow // 2**31)))
    assert_refused(tmp_path / "cube.npz", "claims")


def mat5_claim(dims, stored=100, compressed=False):
    """A v5 file with one uint16 array of some shape and `stored` bytes of it."""

    def element(kind, data):
        return struct.pack("<II", kind, len(data)) + data + b"\0" * (-len(data) % 8)

    values = element(4, b"\1" * stored)
    body = (
        element(6, struct.pack("<II", 11, 0))
        + element(5, struct.pack(f"<{len(dims)}i", *dims))
        + element(1, b"C")
        + values
    )
    matrix = struct.pack("<II", 14, len(body)) + body
    if compressed:
        packed = zlib.compress(matrix)
        matrix = struct.pack("<II", 15, len(packed)) + packed
    return b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack("<H", 0x0100) + b"IM" + matrix


@pytest.mark.parametrize("compressed", [False, True])
def test_hostile_mat5(tmp_path, compressed):
    path = tmp_path / "cube.mat"
    path.write_bytes(mat5_claim((5, 5, 2), 100, compressed))
    assert read_cube(path).array.shape == (2, 5, 5)
    for dims in ((10**4, 10**4, 10**4), (5, 5, 3), (-5, 5, 2), (2**31 - 1,) * 3, (5, 10)):
        path.write_bytes(mat5_claim(dims, 100, compressed))
        assert_refused(path)


def test_hostile_mat73(tmp_path):
    path = tmp_path / "cube.mat"
    with h5py.File(path, "w") as file:
        file.create_dataset("C", (10**4, 10**4, 10**4), "f8", chunks=(10, 10, 10))
    assert_refused(path, "claims 8000000000000 bytes of values but stores 0")
    with h5py.File(path, "w") as file:
        file["C"] = h5py.SoftLink("/nowhere")
    assert_refused(path, "cannot be read as a MATLAB file")


def test_hostile_tiff(tmp_path):
    path = tmp_path / "cube.tif"
    for options in ({"metadata": None}, {"planarconfig": "separate"}, {"compression": "zlib"}):
        tifffile.imwrite(path, cube_of(), photometric="minisblack", **options)
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) * 2 // 3])
        assert_refused(path)


@pytest.mark.parametrize(("bigtiff", "first", "link"), [(False, 4, "<I"), (True, 8, "<Q")])
def test_pages_in_a_ring_do_not_hang(tmp_path, bigtiff, first, link):
    path = tmp_path / "cube.tif"
    tifffile.imwrite(path, cube_of(), photometric="minisblack", bigtiff=bigtiff)
    with tifffile.TiffFile(path) as tiff:
        last, beginning = tiff.pages[-1], tiff.pages[0].offset
        tags = len(last.tags)
    content = bytearray(path.read_bytes())
    end = last.offset + (8 + 20 * tags if bigtiff else 2 + 12 * tags)
    assert struct.unpack_from(link, content, end) == (0,)
    struct.pack_into(link, content, end, beginning)
    path.write_bytes(content)
    assert_holds(path, cube_of(), band_axis=0)


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".mat", ".tif", ".hdr"])
@pytest.mark.parametrize(
    "content", [b"", b"\0" * 200, b"<!DOCTYPE html><html>404</html>" * 9, b"\x89HDF\r\n\x1a\n" + b"\xff" * 200]
)
def test_what_is_no_cube_at_all(tmp_path, suffix, content):
    path = tmp_path / f"cube{suffix}"
    path.write_bytes(content)
    (tmp_path / "cube.img").write_bytes(b"")
    assert_refused(path)


def test_files_that_are_not_there_or_of_another_kind(tmp_path):
    assert_refused(tmp_path / "nowhere.npy", "there is no file")
    (tmp_path / "folder.npy").mkdir()
    assert_refused(tmp_path / "folder.npy", "it is a folder")
    (tmp_path / "picture.gif").write_bytes(b"GIF89a")
    assert_refused(tmp_path / "picture.gif", ".npy, .npz, .mat, .hdr, .tif, .tiff")


def whole_files(folder):
    """One small file of each format, as bytes by suffix."""
    cube = cube_of(shape=(3, 8, 8))
    files = {}
    for suffix, write in {
        ".npy": lambda path: np.save(path, cube),
        ".npz": lambda path: np.savez_compressed(path, cube=cube, wavelengths=NM[:3]),
        ".mat": lambda path: savemat(path, {"cube": cube, "wavelengths": NM[:3]}, do_compression=True),
        ".73.mat": lambda path: write_mat73(
            path, {"cube": cube, "wavelengths": NM[:3]}, chunks=True, compression="gzip"
        ),
        ".tif": lambda path: tifffile.imwrite(path, cube, photometric="minisblack", compression="zlib"),
    }.items():
        write(folder / f"whole{suffix}")
        files[suffix] = (folder / f"whole{suffix}").read_bytes()
    header = write_envi(folder, cube, wavelength=braces(NM[:3]), wavelength_units="Nanometers", bbl="{1, 1, 0}")
    return cube, {**files, ".hdr": header.read_bytes()}


@pytest.fixture(scope="module")
def damaged(tmp_path_factory):
    folder = tmp_path_factory.mktemp("damaged")
    return folder, *whole_files(folder)


@settings(max_examples=400, deadline=2000, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_damaged_files_are_read_or_refused(damaged, data):
    """Bytes changed, cut or added anywhere: a cube of a size that the file can hold, or one sentence."""
    folder, cube, files = damaged
    suffix = data.draw(st.sampled_from(sorted(files)))
    content = bytearray(files[suffix])
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(8, len(content)))
        change = data.draw(st.sampled_from(["set", "cut", "insert"]))
        if change == "cut":
            del content[place:]
        elif change == "insert":
            content[place:place] = data.draw(st.binary(min_size=1, max_size=6))
        else:
            content[place : place + 1] = data.draw(st.binary(min_size=1, max_size=1))
    path = folder / f"scene{suffix}"
    path.write_bytes(content)
    try:
        read = read_cube(path)
    except UserError as error:
        sentence = str(error)
        assert "\n" not in sentence, sentence
        assert len(sentence) < 900
        return
    assert read.array.ndim == 3
    assert np.array(read.array).size < 2**22
    if suffix in (".npz", ".mat"):  # formats with checksums
        np.testing.assert_array_equal(read.array, cube)


def test_nanometres():
    np.testing.assert_allclose(nanometres([0.4, 2.5]), [400, 2500])
    np.testing.assert_allclose(nanometres(["400", " 2.5e3"]), [400, 2500])
    for wrong in ([], [400, None], [400, float("nan")], [0.4, 700], [99e3, 101e3], ["x"]):
        with pytest.raises(UserError):
            nanometres(wrong)


@pytest.mark.parametrize(("counts", "scale"), [(6000, 6000), (6001, 7000), (8000, 8000), (24639, 30000), (100, 100)])
def test_the_scale_of_reflectances_is_that_of_their_counts(counts, scale):
    """Division by 10000 in float32 must not lift a value over the digit at which it stood."""
    stored = np.full((1, 2, 2), counts, np.uint16)
    assert full_scale(stored, "x") == scale
    assert full_scale((stored / 10000).astype(np.float32), "x") == pytest.approx(scale / 10000, rel=1e-6)


def test_row_blocks_cover_every_row_once():
    array = np.arange(500 * 30 * 300, dtype=np.int32).reshape(500, 30, 300)
    blocks = list(row_blocks(array))
    assert [block.shape[1] for block in blocks] == [27, 3]
    np.testing.assert_array_equal(np.concatenate(blocks, axis=1), array)


def test_band_list():
    assert band_list([]) == "[]"
    assert band_list(np.array([0, 3, 4, 5, 9])) == "[0, [3, 5], 9]"
