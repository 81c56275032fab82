"""Spectral responses against matrices worked out by hand and the published numbers."""

import csv
import re
import subprocess
import sys

import numpy as np
import pytest

from smifbench.data.responses import NAMED, Response, gaussian_response, load_response, spectral_response
from smifbench.errors import UserError
from smifbench.places import RESPONSES

VISIBLE = np.arange(400, 701, 10)

# The integer table of the Nikon D700 that the fusion literature shares, 400-700 nm; its rows sum to 255, 203 and 251.
NIKON_D700 = np.array(
    [
        [2, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 6, 11, 17, 21, 22, 21, 20, 20, 19, 19, 18, 18, 17, 17],
        [1, 1, 1, 1, 1, 1, 2, 4, 6, 8, 11, 16, 19, 21, 20, 18, 16, 14, 11, 7, 5, 3, 2, 2, 1, 1, 2, 2, 2, 2, 2],
        [7, 10, 15, 19, 25, 29, 30, 29, 27, 22, 16, 9, 2, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1],
    ]
)

TRIANGLE = Response(np.array([500.0, 520.0, 540.0]), ("T",), np.array([[0.0, 1.0, 0.0]]))
"""Rises from 0 at 500 nm to 1 at 520 nm and falls to 0 at 540 nm."""


@pytest.mark.parametrize(
    ("name", "sums"),
    [("nikon_d700", (255, 203, 251)), ("nikon_d700_akhtar", (209, 164, 200)), ("nikon_d700_smooth", None)],
)
def test_nikon_d700(name, sums):
    response = load_response(name)
    assert response.band_names == ("R", "G", "B")
    np.testing.assert_array_equal(response.wavelengths_nm, VISIBLE)
    srf = spectral_response(name, VISIBLE)
    np.testing.assert_allclose(srf, response.curves, atol=1e-11)
    if sums:
        counts = srf * np.array(sums)[:, None]
        np.testing.assert_allclose(counts, counts.round(), atol=1e-9)


def test_nikon_d700_is_the_published_table():
    np.testing.assert_array_equal(NIKON_D700.sum(axis=1), [255, 203, 251])
    srf = spectral_response("nikon_d700", VISIBLE)
    np.testing.assert_allclose(srf * [[255], [203], [251]], NIKON_D700, atol=1e-9)
    np.testing.assert_allclose(srf @ VISIBLE, [632, 544, 468], atol=0.5)  # the three colours' centroids


def test_other_nikon_tables_have_their_own_numbers():
    akhtar = load_response("nikon_d700_akhtar").curves
    # Its blue begins 0.005, 0.007, 0.012 out of 0.200.
    np.testing.assert_allclose(akhtar[2, :3], [0.025, 0.035, 0.06], atol=1e-12)
    smooth = load_response("nikon_d700_smooth").curves
    np.testing.assert_allclose(smooth.sum(axis=1), 1, atol=1e-11)
    assert np.abs(smooth - akhtar).max() > 0.01
    assert np.abs(akhtar - load_response("nikon_d700").curves).max() > 0.01


def test_sentinel2a_has_its_published_centroids():
    grid, names, curves = load_response("sentinel2a")
    assert names == ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")
    assert (grid[0], grid[-1], len(grid)) == (412, 2320, 1909)
    centroids = curves @ grid / curves.sum(axis=1)
    published = [442.7, 492.4, 559.8, 664.6, 704.1, 740.5, 782.8, 832.8, 864.7, 945.1, 1373.5, 1613.7, 2202.4]
    np.testing.assert_allclose(centroids, published, atol=0.051)


@pytest.mark.parametrize(
    ("name", "published"),
    [
        (
            "sentinel2b",
            [442.3, 492.2, 559.0, 664.9, 703.9, 739.2, 779.7, 832.9, 864.0, 943.1, 1376.9, 1610.4, 2185.7],
        ),
        ("landsat8_oli", [442.9, 482.7, 561.3, 654.6, 864.6, 1609.1, 2201.2]),
        ("eo1_ali", [441.6, 484.8, 567.2, 660.0, 790.0, 865.6, 1244.4, 1640.1, 2225.7]),
    ],
)
def test_other_sensors_have_their_published_centroids(name, published):
    grid, _, curves = load_response(name)
    np.testing.assert_allclose(curves @ grid / curves.sum(axis=1), published, atol=0.051)
    bands = np.arange(400.0, 2500, 10)
    np.testing.assert_allclose(spectral_response(name, bands, 10) @ bands, published, atol=0.5)


@pytest.mark.parametrize("satellite", ["sentinel2a", "sentinel2b"])
def test_sentinel2_subsets_by_ground_resolution(satellite):
    whole, fine, both = map(load_response, (satellite, f"{satellite}_10m", f"{satellite}_20m"))
    assert fine.band_names == ("B02", "B03", "B04", "B08")
    assert both.band_names == ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")
    for subset in (fine, both):
        for name, curve in zip(subset.band_names, subset.curves, strict=True):
            np.testing.assert_array_equal(curve, whole.curves[whole.band_names.index(name)])


@pytest.mark.parametrize("name", NAMED)
@pytest.mark.parametrize("widths", [None, 12.0])
def test_rows_sum_to_one(name, widths):
    wavelengths = np.random.default_rng(0).permutation(np.arange(400.0, 2500, 9.7))
    srf = spectral_response(name, wavelengths, widths)
    assert srf.shape == (len(load_response(name).band_names), len(wavelengths))
    assert srf.dtype == np.float64
    assert srf.min() >= 0
    np.testing.assert_allclose(srf.sum(axis=1), 1, atol=1e-14)


@pytest.mark.parametrize("widths", [None, 12.0])
def test_order_of_the_bands_only_orders_the_columns(widths):
    wavelengths = np.arange(400.0, 2500, 9.7)
    order = np.random.default_rng(1).permutation(len(wavelengths))
    expected = spectral_response("sentinel2a", wavelengths, widths)[:, order]
    np.testing.assert_allclose(spectral_response("sentinel2a", wavelengths[order], widths), expected, atol=1e-15)


def test_sampling_by_hand():
    # Heights at 505, 515, 530 and, outside the curve, 560 nm: 0.25, 0.75, 0.5, 0. Half the ways between centres make
    # the bands 10, 12.5 and 15 nm long; the last step, longer than the two before it together, is a gap.
    weights = np.array([2.5, 9.375, 7.5, 0])
    np.testing.assert_allclose(spectral_response(TRIANGLE, [505, 515, 530, 560]), [weights / 19.375], atol=1e-15)


def test_integration_by_hand():
    # Areas under the triangle, 20 nm in all: 490-510 nm holds 2.5. Of the 5 nm between 530 and 535 nm, which no band
    # reaches, each neighbour gets half: 510-532.5 nm holds 16.09375, 532.5-555 nm 1.40625. 560-580 nm holds none.
    areas = np.array([2.5, 16.09375, 1.40625, 0])
    np.testing.assert_allclose(spectral_response(TRIANGLE, [500, 520, 545, 570], 20), [areas / 20], atol=1e-15)
    # A band within another: 515-525 nm, of area 8.75, is shared equally; the rest of 500-540 nm is the wide one's.
    np.testing.assert_allclose(spectral_response(TRIANGLE, [520, 520], [10, 40]), [[7 / 32, 25 / 32]], atol=1e-15)


UNEVEN = np.r_[np.arange(400, 450, 2.5), np.arange(450, 501, 10)]
"""Edges of bands that tile 400-500 nm: twenty of 2.5 nm, then five of 10 nm."""


def test_bands_that_tile_give_the_integral():
    centres, widths = (UNEVEN[1:] + UNEVEN[:-1]) / 2, np.diff(UNEVEN)
    flat = Response(np.array([400.0, 500.0]), ("B",), np.ones((1, 2)))
    srf = spectral_response(flat, centres, widths)
    np.testing.assert_allclose(srf, [widths / 100], atol=1e-15)
    assert float((srf @ centres).item()) == pytest.approx(450, abs=1e-9)
    # From the centres alone the two bands beside 450 nm meet half way, at 451.875 nm.
    assert float((spectral_response(flat, centres) @ centres).item()) == pytest.approx(450, abs=0.2)


@pytest.mark.parametrize("stated", [10.0, None])
def test_wavelengths_that_two_bands_see_count_once(stated):
    # Two spectrometers that overlap at 450-500 nm, the second in step with the first or half a band off.
    flat = Response(np.array([400.0, 550.0]), ("B",), np.ones((1, 2)))
    for offset in (0, 5):
        first, second = np.arange(405.0, 500, 10), np.arange(455.0 + offset, 550, 10)
        srf = spectral_response(flat, np.concatenate([first, second]), stated)[0]
        edges = (400, 550 - offset)
        assert srf @ np.concatenate([first, second]) == pytest.approx(np.mean(edges), abs=1.5)
        assert srf[: len(first)][first < 450].sum() == pytest.approx(50 / 150, abs=0.02)


def test_overlapping_bands_of_any_width_against_a_fine_sum():
    rng = np.random.default_rng(0)
    fine = np.arange(400.01, 1000, 0.02)
    grid, _, curves = load_response("sentinel2a_10m")
    heights = np.stack([np.interp(fine, grid, curve, 0, 0) for curve in curves])
    widths = rng.uniform(3, 20, 52)
    centres = 400 + np.cumsum(widths) - widths / 2
    centres, widths = np.append(centres, [600, 603]), np.append(widths + rng.uniform(0, 3, 52), [30, 30])
    order = rng.permutation(54)
    centres, widths = centres[order], widths[order]
    reaches = np.abs(fine - centres[:, None]) < widths[:, None] / 2
    means = (heights @ (reaches / np.maximum(reaches.sum(axis=0), 1)).T) / heights.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(spectral_response("sentinel2a_10m", centres, widths), means, atol=3e-4)


def test_wdcm_is_weighed_by_the_distances_of_its_bands():
    # HYDICE's bands are 3 nm apart in the blue and 16 nm in the infrared; the blue band's true centroid is 492.4 nm.
    with (RESPONSES / "wdcm_wavelengths.csv").open(encoding="utf-8") as lines:
        centres = np.array([float(row["wavelength_nm"]) for row in csv.DictReader(lines)])
    srf = spectral_response("sentinel2a_20m", centres)
    grid, _, curves = load_response("sentinel2a_20m")
    true = curves @ grid / curves.sum(axis=1)
    np.testing.assert_allclose((srf @ centres)[:6], true[:6], atol=1.6)
    assert srf[0] @ centres == pytest.approx(492.4, abs=0.05)


def test_equal_distances_leave_the_samples_to_the_bit():
    curves = load_response("nikon_d700").curves
    np.testing.assert_array_equal(spectral_response("nikon_d700", VISIBLE), curves / curves.sum(axis=1, keepdims=True))


def test_widths_narrower_than_the_distances_leave_no_slits():
    wavelengths = np.arange(420.0, 2300, 10)
    np.testing.assert_allclose(
        spectral_response("sentinel2a", wavelengths, 1e-6), spectral_response("sentinel2a", wavelengths, 10), atol=1e-9
    )


def test_what_the_bands_do_not_cover_is_told_and_refused(caplog):
    grid, _, curves = load_response("sentinel2a_10m")
    with caplog.at_level("WARNING"):
        spectral_response("sentinel2a_10m", np.arange(400, 1001, 10.0))
        assert not caplog.messages
        for last in (800, 860):
            spectral_response("sentinel2a_10m", np.arange(400, last + 1, 10.0))
    for last, message in zip((800, 860), caplog.messages, strict=True):
        told = re.match(r"(.*) % of response band B08 \(773-907 nm\) meets one of .* the rest counts as zero", message)
        assert float(told[1]) == pytest.approx(100 * curves[3, grid <= last + 5].sum() / curves[3].sum(), abs=1)
    with pytest.raises(
        UserError,
        match=r"only 1\d\.\d % of response band B08 .* the 40 .* \(400-790 nm\), less than 25 %; leave it out",
    ):
        spectral_response("sentinel2a_10m", np.arange(400, 791, 10.0))


@pytest.mark.parametrize("widths", [None, 10.0])
def test_a_gap_between_the_bands_is_not_covered(widths):
    # B10 of Sentinel-2 lies at 1362-1392 nm, in the window that most cubes leave out.
    whole = np.arange(400.0, 2400, 10)
    spectral_response("sentinel2a", whole, widths)
    with pytest.raises(UserError, match=r"B10 .* meets none of the 187 hyperspectral bands"):
        spectral_response("sentinel2a", whole[(whole < 1330) | (whole > 1450)], widths)
    one_less = np.delete(whole, 43)  # 830 nm, in the middle of B08: its neighbours stand for it
    assert spectral_response("sentinel2a_10m", one_less, widths)[3, 42:44].sum() == pytest.approx(3 * 10 / 106, rel=0.2)


def test_curves_between_the_centres_need_widths():
    narrow = Response(np.array([501.0, 502, 503]), ("N",), np.array([[0.0, 1, 0]]))
    bands = np.arange(400.0, 701, 10)
    with pytest.raises(UserError, match=r"N .* lies between the centres .* give the bands' widths"):
        spectral_response(narrow, bands)
    with pytest.raises(UserError, match="lies between the centres"):
        gaussian_response([505], 1, bands)
    assert spectral_response(narrow, bands, 10)[0, 10] == 1
    with pytest.raises(UserError, match="width of a single hyperspectral band"):
        spectral_response(narrow, [502])


def test_extent_saves_a_curve_that_lies_between_the_centres():
    with pytest.raises(UserError):
        spectral_response(TRIANGLE, [480, 560])
    np.testing.assert_allclose(spectral_response(TRIANGLE, [480, 560], 80), [[0.5, 0.5]])


def test_missing_band_is_named_with_both_ranges():
    with pytest.raises(UserError, match=r"B05 \(\d+-\d+ nm\) meets none of the 26 hyperspectral bands \(400-650 nm\)"):
        spectral_response(load_response("sentinel2a_20m"), np.arange(400, 651, 10))
    with pytest.raises(UserError, match="check that the wavelengths are in nanometres"):
        spectral_response("nikon_d700", VISIBLE / 1000)


def test_gaussian_by_hand():
    # FWHM 20: at 0, 10 and 20 nm from the centre 1, 1/2 and 1/16; the bands are 15, 10 and 20 nm long.
    srf = gaussian_response([550], 20, [550, 560, 530])
    np.testing.assert_allclose(srf, [np.array([15, 5, 1.25]) / 21.25], atol=1e-15)
    # On an even grid the heights alone.
    np.testing.assert_allclose(gaussian_response([550], 20, [540, 550, 560]), [[0.25, 0.5, 0.25]], atol=1e-15)


def test_gaussian_over_bands_of_any_width():
    fine = np.arange(300, 600, 0.01)
    curve = np.exp2(-4 * ((fine - 450) / 60) ** 2)
    edges = np.r_[np.arange(350, 450, 1.0), np.arange(450, 560, 10)]
    centres, widths = (edges[1:] + edges[:-1]) / 2, np.diff(edges)
    for stated in (None, widths):
        srf = gaussian_response([450.0], 60, centres, stated)
        assert float((srf @ centres).item()) == pytest.approx((curve * fine).sum() / curve.sum(), rel=1e-3)


def test_gaussian_rows_have_their_own_widths():
    srf = gaussian_response([500, 600], [20, 40], np.arange(450.0, 650))
    np.testing.assert_allclose(srf.sum(axis=1), 1, atol=1e-14)
    assert [np.count_nonzero(row >= row.max() / 2) for row in srf] == [21, 41]


def test_gaussian_without_bands_is_refused():
    gaussian_response([704], 20, VISIBLE)  # half of it: the last band reaches 705 nm
    with pytest.raises(
        UserError, match=r"only 1\d.\d % .* centred on 715 nm \(695-735 nm\) meets one of .* \(400-700 nm\)"
    ):
        gaussian_response([550, 715], 20, VISIBLE)


@pytest.mark.parametrize("widths", [0, -3.0, np.nan, [10, 10]])
def test_widths_that_are_no_lengths_are_refused(widths):
    with pytest.raises(UserError, match="bandwidths_nm must be one positive number of nanometres or 31 of them"):
        spectral_response("nikon_d700", VISIBLE, widths)


@pytest.mark.parametrize("wavelengths", [[], [[500, 510]], [500, np.nan]])
def test_wavelengths_that_are_no_list_are_refused(wavelengths):
    with pytest.raises(UserError, match="wavelengths_nm must be a list of finite numbers"):
        spectral_response("nikon_d700", wavelengths)


def test_own_csv(tmp_path):
    path = tmp_path / "camera.csv"
    path.write_text("\ufeffred, wavelength_nm ,nir\n0,600,0\n\n1,650,0.5\n0,700,2\n", encoding="utf-8")
    for given in (path, str(path)):
        response = load_response(given)
        assert response.band_names == ("red", "nir")
        np.testing.assert_array_equal(response.wavelengths_nm, [600, 650, 700])
        np.testing.assert_array_equal(response.curves, [[0, 1, 0], [0, 0.5, 2]])
    np.testing.assert_allclose(
        spectral_response(path, [625, 650, 700]), [np.array([12.5, 37.5, 0]) / 50, np.array([6.25, 18.75, 100]) / 125]
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must name a column wavelength_nm .* it reads: nothing"),
        ("nm,R\n400,1\n500,1\n", "must name a column wavelength_nm .* it reads: nm, R"),
        ("wavelength_nm\n400\n500\n", "one column for each band"),
        ("wavelength_nm,R,R\n400,1,1\n500,1,1\n", "all different"),
        ("wavelength_nm,R\n400,1\n", "at least two rows"),
        ("wavelength_nm,R\n400,1\n500,much\n", "line 3: R is 'much'; replace it by a finite number"),
        ("wavelength_nm,R\n400,-0.1\n500,1\n", "line 2: R is '-0.1'"),
        ("wavelength_nm,R\n400,nan\n500,1\n", "line 2: R is 'nan'"),
        ("wavelength_nm,R\n400,\n500,1\n", "line 2: R is ''"),
        ("wavelength_nm,R\n400,1\ninf,1\n", "line 3: wavelength_nm is 'inf'"),
        ("wavelength_nm,R\n400,1\n500\n", "line 3: 1 entries under 2 column names"),
        ("wavelength_nm,R\n400,1\n500,1\n500,1\n", "line 4: wavelength_nm must increase"),
        ("wavelength_nm,R\n\n500,1\n400,1\n", "line 4: wavelength_nm must increase"),
        ("wavelength_nm,R,G\n400,1,0\n500,1,0\n", "band G is zero throughout"),
    ],
)
def test_malformed_csv_is_refused(tmp_path, text, message):
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=message) as caught:
        load_response(path)
    assert str(path) in str(caught.value)


def test_unknown_names():
    with pytest.raises(UserError, match="unknown spectral response 'nikon_d70'; did you mean 'nikon_d700'"):
        load_response("nikon_d70")
    with pytest.raises(UserError, match=r"the response aaa.* cannot be read"):
        load_response("a" * 3000)
    with pytest.raises(UserError, match=r"there is no file nowhere/camera\.csv; .* nikon_d700"):
        load_response("nowhere/camera.csv")


def test_module_needs_no_torch():
    code = "import sys, smifbench.data.responses; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_eo1_ali_has_its_published_centroids():
    grid, names, curves = load_response("eo1_ali")
    assert names == ("MS1p", "MS1", "MS2", "MS3", "MS4", "MS4p", "MS5p", "MS5", "MS7")
    centroids = curves @ grid / curves.sum(1)
    # To the nanometre, nominal centres being 443, 482.5, 565, 660, 790, 867.5, 1250, 1650 and 2215.
    np.testing.assert_allclose(centroids, [441.6, 484.8, 567.2, 660, 790, 865.6, 1244.4, 1640.1, 2225.7], atol=0.06)
    assert load_response("eo1_ali_vnir").band_names == names[1:6]
