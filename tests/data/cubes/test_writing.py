"""What is written reads back as it was: values, wavelengths and the place on the ground."""

import numpy as np
import pytest
import tifffile

from smifbench import UserError
from smifbench.data.cubes.reading import read_cube
from smifbench.data.cubes.writing import write_cube

CUBE = np.random.default_rng(0).integers(-300, 9000, (5, 9, 12), dtype=np.int16)
NM = np.array([443.25, 490, 560.5, 2202.375, 665])
ENVI_PLACE = {
    "map info": "UTM, 1, 1, 600000, 5320000, 10, 10, 32, North, WGS-84, units=Meters",
    "coordinate system string": 'PROJCS["WGS_1984_UTM_Zone_32N",GEOGCS["GCS_WGS_1984"]]',
}
TIFF_PLACE = {
    33550: (12, 3, (10.0, 10.0, 0.0)),
    33922: (12, 6, (0.0, 0.0, 0.0, 600000.0, 5320000.0, 0.0)),
    34735: (3, 12, (1, 1, 0, 2, 1024, 0, 1, 1, 1026, 34737, 10, 0)),
    34737: (2, 11, "UTM zone 3"),
}
PLACES = {".hdr": ENVI_PLACE, ".dat": ENVI_PLACE, ".tif": TIFF_PLACE, ".npz": None, ".mat": None, ".npy": None}


@pytest.mark.parametrize("dtype", ["u1", "i2", "u2", "f4", "f8"])
@pytest.mark.parametrize("suffix", PLACES)
def test_a_written_cube_reads_back(tmp_path, suffix, dtype):
    path = tmp_path / f"fused image{suffix}"
    notes = write_cube(path, CUBE.astype(dtype), NM, georeference=PLACES[suffix])
    read = read_cube(path, band_axis=None if PLACES[suffix] else 0)
    assert read.array.dtype.newbyteorder("=") == np.dtype(dtype)
    np.testing.assert_array_equal(read.array, CUBE.astype(dtype))
    assert read.georeference == PLACES[suffix]
    if suffix == ".npy":
        assert notes == ["fused image.npy has no room for wavelengths"]
    else:
        np.testing.assert_allclose(read.wavelengths_nm, NM)
        assert notes == []


def test_envi_keeps_band_widths_and_takes_either_name(tmp_path):
    write_cube(tmp_path / "a.hdr", CUBE, NM, np.full(5, 12.5))
    np.testing.assert_allclose(read_cube(tmp_path / "a.img").bandwidths_nm, 12.5)
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["a.hdr", "a.img"]


def test_the_tags_are_those_that_other_readers_look_for(tmp_path):
    write_cube(tmp_path / "a.tif", CUBE, NM, georeference=TIFF_PLACE)
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        about = tiff.geotiff_metadata
        assert about["ModelPixelScale"] == [10, 10, 0]
        assert about["ModelTiepoint"][3:5] == [600000, 5320000]
        assert about["GTModelTypeGeoKey"] == 1
        assert len(tiff.pages) == 1


@pytest.mark.parametrize(("suffix", "place"), [(".tif", ENVI_PLACE), (".hdr", TIFF_PLACE), (".npy", ENVI_PLACE)])
def test_a_place_in_other_words_is_left_out_and_told(tmp_path, suffix, place):
    notes = write_cube(tmp_path / f"a{suffix}", CUBE, georeference=place)
    assert "does not keep the geo-reference" in notes[0]
    assert read_cube(tmp_path / f"a{suffix}", band_axis=0).georeference is None


def test_what_cannot_be_written_leaves_no_file(tmp_path):
    for name, dtype in (("a.xyz", "i2"), ("a.hdr", "f2"), ("a", "i2")):
        with pytest.raises(UserError):
            write_cube(tmp_path / name, CUBE.astype(dtype))
    assert list(tmp_path.iterdir()) == []
