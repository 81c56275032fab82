"""Rewrite the tables of THIRD_PARTY_NOTICES.md: `python maintenance/notices.py`, with requirements.lock installed.

Methods come from the docstrings of `methods/*.py`, data sets from the classes in `datasets/*.py`, packages from what
their installed metadata state.
"""

import importlib.metadata
import inspect
import re
import sys
import tomllib

from tracked import tracked

from smifbench import plugins
from smifbench.system.files import write_text

PAGE = plugins.ROOT / "THIRD_PARTY_NOTICES.md"
OFFICIAL = re.compile(r"Official code: (?P<place>.+?) on GitHub, (?P<licence>.+?)(?=[,;]|\. |\.$)")
WITHOUT = {"no code was consulted": "none", "published no code": "none public"}


def main() -> None:
    """Rewrite the page."""
    text = PAGE.read_text(encoding="utf-8")
    for name, lines in (("methods", methods()), ("datasets", datasets()), ("packages", packages())):
        before, _, rest = text.partition(f"<!-- {name} -->\n")
        after = rest[rest.index("<!-- end -->") :]
        text = "\n".join([f"{before}<!-- {name} -->", *lines, after])
    write_text(PAGE, text)


def methods() -> list[str]:
    """One row a method: its title, whose it is, and the code that was consulted with the licence stated there."""
    rows = []
    for name in shipped("methods"):
        cls = plugins.method_class(name)
        rows.append([f"`{name}`", cls.title, _by(entry("methods", cls.citation)), *code_consulted(docstring(name))])
    return _table(["name", "method", "by", "code consulted", "licence stated there"], rows)


def datasets() -> list[str]:
    """One row a data set: its title, whose it is, the terms that it states, and where it is."""
    rows = []
    for name in shipped("datasets"):
        cls = plugins.dataset_class(name)
        if cls.citation:
            rows.append([f"`{name}`", cls.title, _by(entry("datasets", cls.citation)), cls.licence, cls.homepage])
    return _table(["name", "data set", "by", "terms", "where"], rows)


def shipped(folder: str) -> list[str]:
    """Names of the plug-ins in the repository; a user's own are not for its page."""
    return [path.stem for path in tracked(f"{folder}/*.py") if not path.stem.startswith("_")]


def packages() -> list[str]:
    """One row a direct dependency: its version as installed, and the licence that this version states."""
    project = tomllib.loads((plugins.ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    groups = {"runs": project["project"]["dependencies"], **project["dependency-groups"]}
    return _table(
        ["package", "version", "licence", "for"],
        [[name, importlib.metadata.version(name), licence(name), use] for use, name in direct(groups)],
    )


def direct(groups: dict[str, list[str]]) -> list[tuple[str, str]]:
    """Group and name of every requirement."""
    return [(use, re.match(r"[\w.-]+", line).group()) for use, lines in groups.items() for line in lines]


def licence(package: str) -> str:
    """Licence of an installed package: its metadata's expression, else their one line of text, else classifiers."""
    about = importlib.metadata.metadata(package)
    text = about.get("License") or ""
    if "License-Expression" in about:
        return about["License-Expression"]
    if text and len(text) < 40 and "\n" not in text:
        return text
    classifiers = about.get_all("Classifier") or []
    return ", ".join(line.split(" :: ")[-1] for line in classifiers if line.startswith("License ::")) or "none stated"


def docstring(method: str) -> str:
    """Docstring of a method's file in one line."""
    return " ".join(inspect.getdoc(sys.modules[plugins.method_class(method).__module__]).split())


def code_consulted(text: str) -> tuple[str, str]:
    """Place and licence of the code that a method's docstring (in one line) names; raises ValueError for neither."""
    if found := OFFICIAL.search(text):
        return found["place"], found["licence"].replace("without a licence", "none")
    for words, summary in WITHOUT.items():
        if words in text.lower():
            return summary, ""
    forms = ", ".join(f"'{words}'" for words in WITHOUT)
    raise ValueError(f"the docstring must say 'Official code: OWNER/NAME on GitHub, LICENCE', or one of {forms}")


def entry(folder: str, key: str) -> dict[str, str]:
    """Fields of a BibTeX entry, without braces and line breaks; none where there is no such entry."""
    fields = re.findall(r"^\s*(\w+)\s*=\s*[{\"](.*?)[}\"],?$", plugins.bibtex(folder, key), re.MULTILINE | re.DOTALL)
    return {name: " ".join(re.sub(r"[{}]", "", value).split()) for name, value in fields}


def families(fields: dict[str, str]) -> list[str]:
    """Family names of an entry's authors, who are written "Last, First" or "First Last"."""
    authors = fields["author"].split(" and ")
    return [author.split(",")[0] if "," in author else author.split()[-1] for author in authors]


def _by(fields: dict[str, str]) -> str:
    names = families(fields)
    return f"{names[0] + ' et al.' if names[2:] else ' and '.join(names)} {fields.get('year', '')}".strip()


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]


if __name__ == "__main__":
    main()
