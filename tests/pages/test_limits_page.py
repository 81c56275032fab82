"""maintenance/limits.py makes the tables of docs/limits.md from the rows of the robustness tests."""

import limits
import pandas as pd

from smifbench.report.losses import spread

LOSSES = {"": 0.0, "+size=2r": 1.0, "+shift=1": 2.0, "+misregistration=1,1": 3.5, "+misregistration=2,2": 3.0}
NOISE = {"+snr_hsi_db=20": 9.0, "+snr_msi_db=20": 8.0, "+response_shift_nm=10": 5.0, "+response_shift_nm=20": -1.0}


def made_up_rows() -> pd.DataFrame:
    """A method that loses a known number of dB in each test, and does not take other ratios."""
    common = {"dataset": "d", "method": "gsa", "variant": "estimated", "scene": "s", "seed": 0, "status": "ok"}
    common |= {"trained_on": "block-gauss-s2/1/x4", "rmse_blocks": 0.0123, "rmse_detail": 0.0456}
    rows = [
        {**common, "protocol": f"block-gauss-s2/1{change}", "ratio": 4, "psnr": 40 - loss}
        for change, loss in (LOSSES | NOISE).items()
    ]
    return pd.DataFrame([*rows, {**common, "protocol": "block-gauss-s2/1", "ratio": 8, "psnr": None}])


def test_tables_hold_the_losses_of_the_rows():
    rows = made_up_rows()
    losses = spread(rows).set_index(limits.METHOD)
    rows = rows.query("ratio == 4").set_index(["protocol", *limits.METHOD]).sort_index()
    assert limits.worst_losses(losses, rows) == (
        "| GSA, operators estimated | 40.00 | 1.00 | 2.00 | 3.50 | 9.00 | 8.00 | -1.00 | does not take it |\n"
    )
    assert limits.errors(losses, rows) == f"| GSA, operators estimated |{' 12.3 / 45.6 |' * 5}\n"


def test_new_tables_take_the_place_of_the_old_ones_alone(tmp_path, monkeypatch):
    page, results = tmp_path / "limits.md", tmp_path / "results" / "demo"
    before = limits.PAGE.read_text(encoding="utf-8").partition("## Real pairs")[0]  # which has a tool of its own
    page.write_text(before, encoding="utf-8")
    (results / "robustness" / "spread").mkdir(parents=True)
    rows = made_up_rows()
    rows.to_csv(results / "robustness" / "metrics.csv", index=False)
    spread(rows).to_csv(results / "robustness.csv", index=False)
    (results / "robustness" / "spread" / "curves_indian_pines_x4.png").write_bytes(b"a picture")
    monkeypatch.setattr(limits, "PAGE", page)
    monkeypatch.setattr(limits, "PICTURE", tmp_path / "picture.png")
    monkeypatch.setattr(limits.plugins, "ROOT", tmp_path)
    limits.main()
    after = page.read_text(encoding="utf-8").splitlines()
    methods = [line for line in after if line.startswith("| GSA")]
    assert len(methods) == 2
    kept = [line for line in before.splitlines() if line[:2] != "| " or line.startswith(("| method", "| ---"))]
    assert [line for line in after if line not in methods] == kept
    assert (tmp_path / "picture.png").read_bytes() == b"a picture"
