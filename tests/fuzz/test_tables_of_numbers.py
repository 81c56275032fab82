"""CSV files of users and of results: the numbers that are written there, or one sentence."""

import csv
import io
import itertools
import math

import numpy as np
import pandas as pd
from fuzzing import HOSTILE_NUMBERS, damaged, fuzzed, sentence_or
from hypothesis import given
from hypothesis import strategies as st

from smifbench.data.responses import load_response, spectral_response
from smifbench.evaluation.columns import LATER_COLUMNS, METRICS_COLUMNS
from smifbench.evaluation.results import compare, leaderboard, load_results
from smifbench.metrics import METRICS

WAVELENGTHS_NM = np.arange(400.0, 1000.0, 7.3)

NUMBERS = (
    st.floats(0, 1e6).map(str) | st.sampled_from(["0", "0.5", "1e300", "5e-324", "1.7e308", " 1 "]) | HOSTILE_NUMBERS
)
CURVE = "wavelength_nm,red,green\n400,0,1\n500,0.5,1\n600,1,0\n1000,0.25,0\n"


@st.composite
def responses(draw):
    """Rows of a response of two bands with a few cells, a row or a name changed."""
    rows = list(csv.reader(io.StringIO(CURVE)))
    for _ in range(draw(st.integers(0, 3))):
        row = draw(st.integers(0, len(rows) - 1))
        change = draw(st.sampled_from(["cell", "cell", "cell", "drop", "repeat", "longer"]))
        if change == "cell":
            column = draw(st.integers(0, len(rows[row]) - 1))
            rows[row][column] = draw(NUMBERS if row else st.sampled_from(["blue", "red", "", "Wavelength", "\ufeff"]))
        elif change == "drop" and len(rows) > 1:
            del rows[row]
        elif change == "repeat":
            rows.insert(row, list(rows[row]))
        else:
            rows[row].append(draw(NUMBERS))
    return rows


def assert_weights(path):
    """A response that is taken gives weights that are fractions of 1, in every row."""
    srf = sentence_or(spectral_response, path, WAVELENGTHS_NM)
    if srf is not None:
        assert srf.shape[1] == len(WAVELENGTHS_NM)
        assert (srf >= 0).all()
        np.testing.assert_allclose(srf.sum(axis=1), 1, rtol=1e-9)


@fuzzed
@given(responses())
def test_a_response_says_what_its_rows_say(tmp_path_factory, rows):
    path = tmp_path_factory.getbasetemp() / "response.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    response = sentence_or(load_response, path)
    assert_weights(path)
    if response is None:
        return
    table = np.array([[float(cell) for cell in row] for row in rows[1:]])
    order = [name.strip() for name in rows[0]]
    np.testing.assert_array_equal(response.wavelengths_nm, table[:, order.index("wavelength_nm")])
    for name, curve in zip(response.band_names, response.curves, strict=True):
        np.testing.assert_array_equal(curve, table[:, order.index(name)])


@fuzzed
@given(st.data())
def test_a_damaged_response_is_read_or_refused(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "damaged.csv"
    path.write_bytes(data.draw(damaged(CURVE.encode())))
    sentence_or(load_response, path)
    assert_weights(path)


CELLS = {
    "ratio": st.sampled_from(["4", "8"]),
    "seed": st.sampled_from(["0", "1"]),
    "method": st.sampled_from(["gsa", "psrt"]),
    "scene": st.sampled_from(["a", "b"]),
    "status": st.sampled_from(["ok", "ok", "failed", "not run"]),
    "data": st.just("0123456789ab"),
    "dataset": st.just("cave"),
    "protocol": st.just("block-gauss-s2/1"),
    "variant": st.just("default"),
    "experiment": st.just("tiny"),
}
CELLS |= {column: st.floats(0, 60).map(repr) for column in METRICS}
USUAL = {column: CELLS.get(column, st.just("")) for column in METRICS_COLUMNS}


@st.composite
def results(draw):
    """A metrics.csv of up to three rows with up to three cells of any text; as rows of text, the header first."""
    rows = [list(USUAL), *([draw(strategy) for strategy in USUAL.values()] for _ in range(draw(st.integers(0, 3))))]
    for _ in range(draw(st.integers(0, 3))):
        row = draw(st.integers(0, len(rows) - 1))
        column = draw(st.integers(0, len(rows[row]) - 1))
        rows[row][column] = draw(
            NUMBERS | st.text(max_size=5) | st.sampled_from(["10" * 20, "4.0", "-4", "True", "\x00"])
        )
    return rows


def use(folder, df):
    """What a user does next: pivot and compare."""
    sentence_or(leaderboard, df)
    sentence_or(lambda: leaderboard(df, ["psnr", "sam"], convention="paper", sort=True))
    sentence_or(compare, folder, folder)


@fuzzed
@given(results())
def test_results_are_the_numbers_in_the_file(tmp_path_factory, rows):
    folder = tmp_path_factory.getbasetemp()
    with (folder / "metrics.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    df = sentence_or(load_results, folder)
    if df is None:
        return
    assert len(df) == len(rows) - 1
    renamed = set(METRICS_COLUMNS) - set(rows[0])  # only a column that earlier versions lacked may miss
    assert renamed <= set(LATER_COLUMNS)
    assert df[sorted(renamed)].isna().all(axis=None)
    for column in set(METRICS_COLUMNS) - renamed:
        position = rows[0].index(column)
        for row, value in itertools.zip_longest(rows[1:], df[column]):
            text = row[position]
            if isinstance(value, str):
                assert value == text
            elif math.isnan(value):
                assert text.strip().lower().lstrip("+-") in ("", "nan")
            else:
                assert value == (int(text) if df[column].dtype.kind == "i" else float(text))
    use(folder, df)


@fuzzed
@given(st.data())
def test_a_damaged_table_of_results_is_read_or_refused(tmp_path_factory, data):
    folder = tmp_path_factory.getbasetemp()
    values = [{"status": "ok", "ratio": "4", "seed": "0"}.get(column, "1.5") for column in USUAL]
    text = ",".join(USUAL) + "\n" + ",".join(values) + "\n"
    (folder / "metrics.csv").write_bytes(data.draw(damaged(text.encode(), start=len(",".join(USUAL)) - 5)))
    df = sentence_or(load_results, folder)
    if df is not None:
        assert isinstance(df, pd.DataFrame)
        use(folder, df)
