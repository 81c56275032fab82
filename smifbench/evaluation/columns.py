"""Columns of the result tables `metrics.csv` and `cost.csv`."""

from smifbench.metrics import METRICS

CELL = ["dataset", "protocol", "ratio", "method", "variant"]
"""What one number of a table is of."""


DTYPES = {
    **dict.fromkeys(["experiment", "dataset", "protocol"], "string"),
    "ratio": "int64",
    **dict.fromkeys(["method", "variant"], "string"),
    "seed": "int64",
    **dict.fromkeys(["scene", "status", "message"], "string"),
    **dict.fromkeys([*METRICS, "train_steps", "train_seconds", "fuse_seconds"], "float64"),
    **dict.fromkeys(["device", "code", "data"], "string"),
    "pixels_missing": "float64",
    "sam_excluded": "float64",
}


METRICS_COLUMNS = list(DTYPES)
"""Columns of `metrics.csv`. A row whose `status` is not "ok" has a message and no metrics: "failed" is a method's
error, "skipped" a problem that it does not take, "not run" a data set that could not be had. The message of an "ok" row
says what the machine's memory changed in its training. `pixels_missing` are the
pixels of the scene without a value, which no metric counts, `sam_excluded` those that are zero in the reference, which
`sam` leaves out."""


EXTERNAL = "external"
"""What stands in the column `device` of a row whose estimate was made elsewhere."""


LATER_COLUMNS = (
    *("uiqi", "q2n", "cc", "scc", "spectral_consistency", "spatial_consistency"),
    *("pixels_missing", "sam_excluded"),
)
"""Columns that tables of earlier versions lack; there they are empty."""


COST_COLUMNS = [
    *["dataset", "ratio", "method", "variant", "height", "width", "params", "gmacs", "gmacs_thop"],
    *["published_tflops", "latency_ms", "peak_memory_mb", "device"],
]
"""Columns of `cost.csv`."""
