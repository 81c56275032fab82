"""Write the leaderboard and where the report lies, and end with an error when a method failed."""

import argparse

from smifbench.errors import UserError
from smifbench.evaluation.results import RETRY, load_results, summary
from smifbench.evaluation.significance import claims, reference_of
from smifbench.report.titles import method_titles
from smifbench.steps import _arguments
from smifbench.system.files import read_json, write_text


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the step's arguments."""
    _arguments.of_results(parser)


def run(args: argparse.Namespace) -> None:
    """Print or write the summary; raises UserError with every failure when there is one."""
    text, failures = summary(args.results / "metrics.csv")
    about = read_json(args.results / "experiment.json")
    sentences = claims(load_results(args.results), reference_of(about), titles=method_titles(about))
    text = "\n\n".join([text, *(["\n".join(sentences)] if sentences else [])])
    text += f"\n\nreport: {args.results / 'report.html'}\n"
    if missing := uncited(about):
        text += f"note: {missing}\n"
    if failures:
        print(text)
        raise UserError(
            f"{len(failures)} run{'s' if failures[1:] else ''} failed, the others are done: {'; '.join(failures)}; "
            f"to try again, {RETRY}"
        )
    write_text(args.output, text)


def uncited(description: dict) -> str:
    """Name in one sentence the methods without a BibTeX entry in the contents of `experiment.json`, or return ""."""
    here = {key: about for key, about in description["methods"].items() if not about.get("external")}
    names = [key.partition("/")[0] for key, about in here.items() if not about["bibtex"]]
    return f"methods/references.bib has no entry for {', '.join(dict.fromkeys(names))}" if names else ""
