"""MATLAB files as laboratories give them out: fields of structures, matrices of pixels, files of h5py's."""

import h5py
import numpy as np
import pytest
from made_up_cubes import NM, cube_of
from scipy.io import savemat

from smifbench import UserError
from smifbench.data.cubes.reading import read_cube

PIXELS = cube_of().transpose(1, 2, 0)
MATRIX = cube_of().transpose(0, 2, 1).reshape(6, -1)
"""Bands x pixels, column after column, as MATLAB counts."""


@pytest.mark.parametrize("compress", [False, True])
def test_fields_of_structures(tmp_path, compress):
    inner = {"Data": PIXELS, "info": {"wavelength": np.array(NM), "about": "words"}, "cells": np.array([{}], object)}
    savemat(tmp_path / "a.mat", {"before": np.ones((300, 300)), "hsi": inner, "n": 5.0}, do_compression=compress)
    for variable in (None, "hsi.Data"):
        read = read_cube(tmp_path / "a.mat", variable)
        assert read.variable == "hsi.Data"
        np.testing.assert_array_equal(read.array, cube_of())
        np.testing.assert_allclose(read.wavelengths_nm, NM)
    with pytest.raises(UserError, match=r"did you mean 'hsi\.Data'"):
        read_cube(tmp_path / "a.mat", "hsi.Dat")


def test_a_cube_outside_comes_before_those_in_structures(tmp_path):
    savemat(tmp_path / "a.mat", {"hsi": {"Data": PIXELS + 1}, "cube": PIXELS})
    np.testing.assert_array_equal(read_cube(tmp_path / "a.mat").array, cube_of())


def test_groups_of_an_hdf5_file(tmp_path):
    with h5py.File(tmp_path / "a.mat", "w") as file:
        file.create_group("hsi")["Data"] = cube_of()
        file["hsi"]["wavelength"] = NM
    read = read_cube(tmp_path / "a.mat")
    np.testing.assert_array_equal(read.array, cube_of())
    np.testing.assert_allclose(read.wavelengths_nm, NM)


@pytest.mark.parametrize("marked", [False, True])
def test_files_of_h5py_keep_their_order_of_axes_and_those_of_matlab_theirs(tmp_path, marked):
    with h5py.File(tmp_path / "a.mat", "w") as file:
        file["cube"] = PIXELS.T if marked else cube_of()
        if marked:
            file["cube"].attrs["MATLAB_class"] = np.bytes_("uint16")
    read = read_cube(tmp_path / "a.mat", band_axis=2 if marked else 0)
    np.testing.assert_array_equal(read.array, cube_of())
    assert read.format == ("MATLAB v7.3" if marked else "HDF5, not written by MATLAB")


@pytest.mark.parametrize("names", [("nRow", "nCol"), ("rows", "cols"), ("lines", "samples")])
@pytest.mark.parametrize("turned", [False, True])
def test_matrices_of_pixels(tmp_path, names, turned):
    sides = dict(zip(names, (20, 13), strict=True))
    savemat(tmp_path / "a.mat", {"Y": MATRIX.T if turned else MATRIX, "nBand": 6, "SlectBands": np.arange(6), **sides})
    read = read_cube(tmp_path / "a.mat")
    np.testing.assert_array_equal(read.array, cube_of())
    assert any("matrix of pixels of 20 rows and 13 columns" in note for note in read.notes)


def test_a_stated_shape(tmp_path):
    savemat(tmp_path / "a.mat", {"Y": MATRIX})
    with pytest.raises(UserError, match="rows and columns by the option shape"):
        read_cube(tmp_path / "a.mat")
    np.testing.assert_array_equal(read_cube(tmp_path / "a.mat", shape=(20, 13)).array, cube_of())
    np.savez(tmp_path / "a.npz", Y=cube_of().reshape(6, -1))  # NumPy counts row after row
    np.testing.assert_array_equal(read_cube(tmp_path / "a.npz", shape=(20, 13)).array, cube_of())


@pytest.mark.parametrize("name", ["Wavelength", "lambda", "wvl", "centers", "bands", "wavelength_nm"])
def test_the_usual_names_of_wavelengths(tmp_path, name):
    savemat(tmp_path / "a.mat", {"rad": PIXELS, name: NM})
    np.testing.assert_allclose(read_cube(tmp_path / "a.mat").wavelengths_nm, NM)


def test_numbers_of_bands_are_no_wavelengths(tmp_path):
    savemat(tmp_path / "a.mat", {"rad": PIXELS, "bands": np.arange(1, 7)})
    assert read_cube(tmp_path / "a.mat", band_axis=2).wavelengths_nm is None


def test_numbers_that_matlab_stored_shorter_stay_floating(tmp_path):
    """savemat does not shorten, so the tag of the values is changed by hand: double stored as uint8."""
    small = (PIXELS % 200).astype(np.uint8)
    savemat(tmp_path / "a.mat", {"c": small})
    content = (tmp_path / "a.mat").read_bytes()
    assert content[144:145] == b"\x09"  # class uint8
    (tmp_path / "a.mat").write_bytes(content[:144] + b"\x06" + content[145:])
    read = read_cube(tmp_path / "a.mat", band_axis=2)
    assert read.array.dtype == np.float32
    np.testing.assert_array_equal(read.array, small.transpose(2, 0, 1))
