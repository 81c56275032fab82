"""ENVI headers in the forms that programs and people write them: the words are found, or the reason is told."""

import numpy as np
import pytest
from made_up_cubes import NM, braces, cube_of, write_envi

from smifbench.data.cubes.header import bad_bands, named_wavelengths
from smifbench.data.cubes.reading import read_cube

NAMES = "{" + ", ".join(f"Band {band} ({nm:.4f})" for band, nm in enumerate(NM, 1)) + "}"
FORMS = {
    "brace on the next line": f"wavelength =\n{braces(NM)}\n",
    "brackets without commas": f"wavelength = [ {'  '.join(map(str, NM))} ]\n",
    "braces without commas": f"wavelength = {{ {' '.join(map(str, NM))} }}\n",
    "plural": f"wavelengths = {braces(NM)}\n",
    "comma first": "wavelength = {\n" + "\n,".join(map(str, NM)) + "\n}\n",
    "comments and an empty unit": f"; by hand\nwavelength units =\nwavelength = {braces(NM)}\n",
    "in the names of the bands": f"band names = {NAMES}\n",
    "names with units": "band names = {" + ", ".join(f"{nm / 1000} um" for nm in NM) + "}\n",
}


@pytest.mark.parametrize("form", FORMS)
def test_wavelengths_in_every_form(tmp_path, form):
    header = write_envi(tmp_path, cube_of())
    header.write_text(header.read_text() + FORMS[form])
    read = read_cube(header)
    np.testing.assert_allclose(read.wavelengths_nm, NM)
    np.testing.assert_array_equal(read.array, cube_of())


@pytest.mark.parametrize(
    "change",
    [
        lambda text: "\ufeff" + text,
        lambda text: text.replace("header offset = 64", "header_offset = 64"),
        lambda text: text.replace("samples = 13", "Samples = 13.0"),
        lambda text: text.replace("{made, by", "{samples = 5\nlines = 3\nmade, by"),
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("file type = ENVI Standard\n", ""),
        lambda text: text.replace("ENVI Standard", "envi  standard"),
    ],
)
def test_odd_headers_are_read_for_what_they_say(tmp_path, change):
    header = write_envi(tmp_path, cube_of(), "bil", offset=64)
    header.write_bytes(change(header.read_text()).encode())
    np.testing.assert_array_equal(read_cube(header).array, cube_of())


@pytest.mark.parametrize(
    "names",
    [
        [f"Band {band}" for band in range(1, 7)],
        [f"Band ({band})" for band in range(1, 7)],
        ["red (650)", "green (550)", "mask"],
        [],
        [None, None],
    ],
)
def test_numbers_of_bands_are_no_wavelengths(names):
    assert named_wavelengths(names) == ([], None)


def test_bad_bands_in_words_and_numbers():
    assert bad_bands({"bbl": "True, False, 1.0, 0.0, 0, 1"}) == (1, 3, 4)
    assert bad_bands({"bbl": "1, 1"}) == ()
    assert bad_bands({}) is None


def test_upper_case_and_odd_names_of_data_files(tmp_path):
    for at, (name, suffix) in enumerate([("UP", ".DAT"), ("a_img", ""), ("b", ".rfl"), ("c.d", ".BSQ")]):
        folder = tmp_path / str(at)
        header = write_envi(folder, cube_of(), name=name, suffix=suffix)
        header.rename(header.with_suffix(".HDR"))
        np.testing.assert_array_equal(read_cube(header.with_suffix(".HDR")).array, cube_of())
