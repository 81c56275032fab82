"""The throughput table: what its columns mean, that it grows over calls, and that both loops really train."""

import csv
from itertools import islice

import pytest
import torch

from smifbench import UserError, __main__
from smifbench.evaluation.cost import count_macs
from smifbench.training import throughput

CPU = torch.device("cpu")


def rows_of(path):
    with path.open() as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("method", ["ssr_net", "tsfn", "psrt"])
def test_operations_are_those_of_the_cost_table(method):
    network = throughput._build(method, CPU)
    # That one also counts norms and resizing, which do no products.
    assert throughput._macs(network, 32, CPU) == pytest.approx(count_macs(network, 32, 32), rel=0.03)


def test_a_row_is_consistent_and_not_measured_twice(tmp_path, capsys, monkeypatch):
    output = tmp_path / "rows.csv"
    arguments = ["throughput", "ssr_net", "--patch", "16", "--batch", "2", "--seconds", "0.1", "--device", "cpu"]
    assert __main__.main([*arguments, "--output", str(output)]) == 0
    (row,) = rows_of(output)
    assert list(row) == throughput.COLUMNS
    value = {key: float(text) for key, text in row.items() if key not in ("device", "method")}
    assert value["gmacs_per_patch"] == pytest.approx(3 * 31 * 31 * 9 * 16 * 16 / 1e9, rel=1e-3)
    assert value["gmacs_per_s"] == pytest.approx(3 * value["gmacs_per_patch"] * value["patches_per_s"], rel=1e-2)
    assert value["speedup"] == pytest.approx(value["patches_per_s"] / value["naive_patches_per_s"], rel=1e-2)
    for kind in ("matmul", "convolution"):
        share = value["gmacs_per_s"] / value[f"{kind}_gmacs_per_s"]
        assert value[f"share_of_{kind}"] == pytest.approx(share, rel=1e-2)
    assert "ssr_net" in capsys.readouterr().out
    measured = []
    monkeypatch.setattr(throughput, "measure", lambda method, patch, *_: measured.append((method, patch)) or {})
    for more in (["ssr_net"], ["ssr_net", "psrt"]):
        throughput.measure_all(more, 16, 2, 0.1, CPU, output)
    throughput.measure_all(["ssr_net"], 32, 2, 0.1, CPU, output)
    assert measured == [("psrt", 16), ("ssr_net", 32)]
    assert [row["method"] for row in rows_of(output)] == ["ssr_net", "psrt", "ssr_net"]


@pytest.mark.parametrize("loop", ["engine", "naive"])
def test_both_loops_train(loop):
    network = throughput._build("ssr_net", CPU)
    pairs = [throughput._noise_pair(0, 32)]
    (lr_hsi, hr_msi, hr_hsi) = (
        torch.from_numpy(image)[None] for image in (pairs[0].lr_hsi, pairs[0].hr_msi, pairs[0].hr_hsi)
    )
    with torch.no_grad():
        before = network.training_loss(lr_hsi, hr_msi, hr_hsi)
    work = (
        throughput._engine(network, pairs, 16, 3) if loop == "engine" else throughput._naive(network, pairs, 16, 3, CPU)
    )
    assert list(islice(work, 30)) == 30 * [3]
    assert network.training_loss(lr_hsi, hr_msi, hr_hsi) < 0.9 * before


def test_a_loop_that_does_not_fit_is_left_empty(monkeypatch, caplog):
    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")
        yield

    monkeypatch.setattr(throughput, "_naive", full)
    row = throughput.measure("ssr_net", 16, 2, 0.05, CPU)
    assert (row["naive_patches_per_s"], row["speedup"]) == ("nan", "nan")
    assert float(row["patches_per_s"]) > 0
    assert "ssr_net does not fit into the memory by the naive loop" in caplog.text


def test_a_solver_is_refused(tmp_path):
    with pytest.raises(UserError, match="gsa solves instead of learning"):
        throughput.measure_all(["gsa"], 16, 2, 0.1, CPU, tmp_path / "rows.csv")
