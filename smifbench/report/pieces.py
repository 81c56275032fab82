"""What all HTML pages are made of: tables that sort and filter, and templates."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from smifbench.metrics import Metric
from smifbench.report.latex import mark_best

TEMPLATES = Path(__file__).with_name("templates")


@dataclass(frozen=True)
class Column:
    """How a column of a table is printed: its heading, decimals (None for text), and the class of its cells.

    Columns of the class "place" say what a row is of; a narrow screen has them in small print below the row's title.
    """

    label: str
    digits: int | None = None
    css: str = ""


PLACE = {
    "title": Column("Method"),
    "dataset_title": Column("Data set", css="place"),
    "ratio": Column("Ratio", 0, "place"),
}
PROTOCOL = {"protocol": Column("Protocol", css="place")}


def table(frame: pd.DataFrame, columns: Mapping[str, Column], choices: Sequence[str]) -> dict:
    """A table as the template prints it.

    Every cell has the value that it is sorted by and its text; every row can be chosen by its values in `choices`.
    Where the frame has them, columns `<name>_text` are printed in place of the values, `<name>_note` in small print
    behind them, and `<name>_mark` is the class of the cells ("best").
    """
    rows = frame.astype(object).where(frame.notna(), None).to_dict("records")
    return {
        "columns": list(columns.values()),
        "choices": {choice: list(dict.fromkeys(str(row[choice]) for row in rows)) for choice in choices},
        "labels": {choice: columns[choice].label for choice in choices},
        "rows": [
            {
                "title": row.get("title", ""),
                "place": ", ".join(
                    f"{column.label.lower()} {row[name]}" if column.digits == 0 else str(row[name])
                    for name, column in columns.items()
                    if column.css == "place"
                ),
                "choices": {choice: str(row[choice]) for choice in choices},
                "cells": [
                    {
                        "value": row[name],
                        "text": row.get(f"{name}_text") or _text(row[name], column.digits),
                        "mark": row.get(f"{name}_mark", ""),
                        "note": row.get(f"{name}_note", ""),
                    }
                    for name, column in columns.items()
                ],
            }
            for row in rows
        ],
    }


def _text(value: Any, digits: int | None) -> str:
    if value is None:
        return "–"
    if digits is None:
        return str(value)
    return "∞" if math.isinf(value) else f"{value:.{digits}f}"


def heading(metric: Metric) -> str:
    """Heading of a metric's column: symbol, unit, and an arrow to the better side."""
    unit = f" ({metric.unit})" if metric.unit else ""
    return f"{metric.symbol}{unit}\u00a0{'↑' if metric.higher_better else '↓'}"


def marks(values: pd.Series, higher_better: bool, digits: int) -> list[str]:
    """Classes of the cells of a column: "best" and "second" by printed precision, else ""."""
    best, second = mark_best(values, higher_better, digits)
    return ["best" if place in best else "second" if place in second else "" for place in range(len(values))]


def render(template: str, **context: Any) -> str:
    """Fill a template of `templates/`; what it names must be given."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    return environment.get_template(template).render(context)
