"""The published tables: their keys and values, and the options behind the names of their rows."""

import doctest
import math

import numpy as np
import pandas as pd
import pytest

from smifbench.evaluation.columns import METRICS_COLUMNS
from smifbench.paper import layout
from smifbench.paper import published as published_module
from smifbench.paper.published import load_published, published_as_printed, published_tflops


@pytest.mark.parametrize("module", [layout, published_module])
def test_docstring_examples(module):
    assert doctest.testmod(module).failed == 0


def test_published_tables_have_their_keys_and_values():
    published = load_published()
    assert published.groupby("table").size().to_dict() == {1: 18, 2: 18, 3: 18, 4: 5, 5: 5}
    assert not published.duplicated(["table", "dataset", "ratio", "method", "variant"]).any()
    assert set(published.columns) - set(METRICS_COLUMNS) == {"table", "published_tflops"}
    cell = published.query("table == 3 and ratio == 8 and method == 'psrt'").iloc[0].drop("table").to_dict()
    assert cell == {
        **{"dataset": "wdcm", "ratio": 8, "method": "psrt", "variant": "default", "paper_psnr": 37.87},
        **{"paper_ssim": 0.9908, "paper_sam": 2.474, "paper_rase": 4.947, "paper_rmse": 0.0126, "paper_ergas": 1.431},
        "published_tflops": 0.005,
    }


def test_published_variants_name_what_they_change():
    published = load_published()
    table_4 = published[published.table == 4].set_index("variant").paper_psnr.to_dict()
    assert table_4 == {"blocks4": 48.99, "default": 49.01, "blocks6": 48.93, "stages3": 48.93, "stages5": 48.95}
    table_5 = published[published.table == 5].set_index("variant").paper_psnr.to_dict()
    assert table_5["no_csca"] == 48.52
    assert table_5["no_msfe"] == 48.80
    assert table_5["no_is2f2"] == 48.20
    assert table_5["no_csca_no_msfe_no_is2f2"] == 46.82


def test_full_network_is_the_same_in_all_tables():
    full = load_published().query("dataset == 'cave' and ratio == 8 and method == 'smif_net'")
    full = full[full.variant == "default"]
    assert full.table.tolist() == [1, 4, 5]
    assert full.paper_psnr.nunique() == full.paper_sam.nunique() == full.paper_ergas.nunique() == 1


def test_published_rase_is_four_times_ergas_where_it_is_consistent():
    published = load_published()
    networks = published[(published.dataset == "harvard") & (published.ratio == 4) & (published.method != "cnmf")]
    assert (networks.paper_rase / networks.paper_ergas).between(3.998, 4.002).all()


def test_published_merges_with_our_rows():
    ours = pd.DataFrame({"method": ["psrt", "gsa"], "paper_psnr": 30.0})
    ours = ours.assign(dataset="cave", ratio=4, variant="default")
    merged = ours.merge(load_published(), on=["dataset", "ratio", "method", "variant"], how="left")
    assert merged.paper_psnr_y.tolist()[0] == 48.49
    assert np.isnan(merged.paper_psnr_y.tolist()[1])


def test_flops_by_data_set_ratio_and_method():
    assert published_tflops("cave", 4, "ssr_net") == 0.006
    assert published_tflops("wdcm", 8, "psrt") == 0.005
    assert all(math.isnan(published_tflops(*key)) for key in [("cave", 4, "cnmf"), ("indian_pines", 4, "ssr_net")])


def test_the_layout_names_what_the_tables_hold():
    printed = published_as_printed()
    quality = printed[printed.table <= 3]
    assert set(quality.dataset) == set(layout.DATASETS)
    assert all((quality.table == layout.DATASETS[row.dataset].table).any() for row in quality.itertuples())
    assert list(dict.fromkeys(quality.method)) == list(layout.METHODS)
    assert set(quality.ratio) == set(layout.RATIOS)
    for number, ablation in layout.ABLATIONS.items():
        rows = printed[printed.table == number]
        assert set(rows.variant) == ablation.variants
        assert set(rows.dropna(axis=1).columns) & set(layout.PAPER_METRICS) == {f"paper_{m}" for m in ablation.metrics}


@pytest.mark.parametrize("ablation", layout.ABLATIONS.values(), ids=str)
def test_rows_of_an_ablation_say_what_their_options_are(ablation):
    names = list(layout.SIZES.values()) if ablation.labels[0] == "$N_2$" else layout.MODULES
    full = {layout.SIZES.get(column, column): int(value) for column, value in layout.FULL_NETWORK.items()}
    for group in ablation.groups:
        for variant, values in group.items():
            options = full | layout.published_options(variant)
            assert tuple(options[name] for name in names) == values
