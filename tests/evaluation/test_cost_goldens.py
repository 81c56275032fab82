"""Parameters and operation counts of the authors' own networks, and what they say of the paper's FLOPs column.

The numbers were counted on the official implementations (for SMIF-NET, which has none, on a prototype) by fvcore 0.1.5
and thop 0.1.1, in 10^12, to the digits given; a dash stands for one that was not counted.
"""

import csv
import math
from functools import cache

import pytest
import torch

from smifbench.evaluation import cost
from smifbench.fusion.build import build_method
from smifbench.places import PUBLISHED
from smifbench.problem import FusionProblem

DATASETS = {"cave": (31, 3, 512), "harvard": (31, 3, 1024), "wdcm": (191, 10, 128)}

# method, data set, ratio: parameters that are used, fvcore, thop
GOLDENS = """
ssr_net   cave     4   26040      0.00683   0.00680
ssr_net   harvard  8   26040      0.02734   0.02721
ssr_net   wdcm     4   985560     0.01615   0.01614
tsfn      cave     8   1964346    0.51404   0.51620
tsfn      harvard  4   1964346    2.05615   2.06481
tsfn      wdcm     4   2152858    0.03521   0.03535
mog_dcn   cave     4   7070824    3.05353   4.39617
mog_dcn   cave     8   7070824    3.04156   4.39018
mog_dcn   harvard  4   7070824    12.21413  17.58468
mog_dcn   harvard  8   7070824    12.16623  17.56073
mog_dcn   wdcm     4   19386417   0.26772   0.62824
mog_dcn   wdcm     8   19386417   0.23931   0.61404
mssjfl    cave     4   14317646   0.30087   0.30462
mssjfl    cave     8   20725934   0.15568   0.17151
mssjfl    harvard  4   14317646   1.20349   1.21848
mssjfl    harvard  8   20725934   0.62270   0.68606
mssjfl    wdcm     4   16008967   0.02777   0.03672
mssjfl    wdcm     8   25827175   0.01863   0.05627
dhif_net  cave     4   22461913   3.4735    3.5075
dhif_net  cave     8   22669489   3.4735    3.6163
dhif_net  harvard  4   22461913   13.8939   14.0299
dhif_net  harvard  8   22669489   13.8939   14.4652
dhif_net  wdcm     4   81243938   3.9116    3.9923
dhif_net  wdcm     8   89123834   3.9116    4.2505
psrt      cave     4   247455     0.07286   0.06723
psrt      harvard  8   247455     0.29142   0.26892
psrt      wdcm     4   341791     0.006096  0.005745
msst_net  cave     4   32630425   0.22029   2.97266
msst_net  cave     8   34402969   0.21090   2.96382
msst_net  harvard  4   32630425   1.32084   11.89063
msst_net  harvard  8   34402969   1.28331   11.85527
msst_net  wdcm     4   145524409  0.04180   1.11589
msst_net  wdcm     8   147296953  0.04024   1.11436
smif_net  cave     4   6104779    1.21126   1.2009
smif_net  cave     8   6104779    1.18399   -
smif_net  harvard  4   6104779    4.84503   4.8036
smif_net  wdcm     4   6490643    0.08008   0.0794
"""

ROWS = [line.split() for line in GOLDENS.split("\n") if line]


def golden(column):
    """Parametrise over the rows that have a value in a column."""
    rows = [(*row[:3], row[column]) for row in ROWS if row[column] != "-"]
    return pytest.mark.parametrize(("method", "dataset", "ratio", "expected"), rows)


@cache
def network(method, dataset, ratio):
    bands, msi_bands, _ = DATASETS[dataset]
    with torch.device("meta"):
        return build_method(method, FusionProblem(bands, msi_bands, int(ratio)))


@cache
def tera(count, method, dataset, ratio):
    size = DATASETS[dataset][2]
    return count(network(method, dataset, ratio), size, size) / 1e12


def decimals(number):
    return len(number.partition(".")[2])


@golden(3)
def test_parameters(method, dataset, ratio, expected):
    assert cost.count_parameters(network(method, dataset, ratio)) == int(expected)


@pytest.mark.slow
@golden(4)
def test_macs_by_fvcore(method, dataset, ratio, expected):
    counted = tera(cost.count_macs, method, dataset, ratio)
    if method == "mog_dcn":  # the authors correct the spectra, C -> c -> C by 3 x 3, twice in three of four stages
        bands, msi_bands, size = DATASETS[dataset]
        counted += 3 * size**2 * 2 * 9 * bands * msi_bands / 1e12
    assert f"{counted:.{decimals(expected)}f}" == expected


@golden(5)
def test_macs_by_thop(method, dataset, ratio, expected):
    assert f"{tera(cost.count_macs_thop, method, dataset, ratio):.{decimals(expected)}f}" == expected


def published_cells():
    with (PUBLISHED / "tables_1_to_3.csv").open() as table:
        return [row for row in csv.DictReader(table) if row["flops_1e12"]]


def behind_the_cell(dataset, method):
    """What a published cell holds: the count, but for two cells of Table 1."""
    if (dataset, method) == ("cave", "tsfn"):
        return cost.count_parameters(network("tsfn", "cave", "4")) / 1e6
    if (dataset, method) == ("cave", "mog_dcn"):
        method = "tsfn"
    return tera(cost.count_macs_thop, method, dataset, "4")


def test_the_published_column_is_the_thop_count_at_ratio_4_cut_off():
    unexplained = {}
    for row in published_cells():
        dataset, method, cell = row["dataset"], row["method"], row["flops_1e12"]
        value, unit = behind_the_cell(dataset, method), 10 ** decimals(cell)
        if math.floor(value * unit) / unit != float(cell):
            unexplained[dataset, method] = float(cell) / value
    # There is no official code of SMIF-NET; its reconstruction costs 0.05 % more than the published figure.
    assert unexplained == {("harvard", "smif_net"): pytest.approx(1, abs=1e-3)}
