"""The rules' shell commands: no text of a user's reaches a shell unquoted."""

import io
import itertools
import re
import tokenize

import pytest

from smifbench import plugins

FILES = [plugins.ROOT / "Snakefile", *sorted((plugins.ROOT / "workflow").rglob("*.smk"))]
NUMBERS = {"threads", "params.threads", "wildcards.ratio", "params.attempt"}
"""Placeholders that hold whole numbers, by the rules or by `wildcard_constraints`."""


def shell_commands(text):
    """Commands of all `shell:` directives of a file of rules, each as written."""
    tokens = [
        token
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type not in (tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.COMMENT)
    ]
    commands = []
    for index, (first, second) in enumerate(itertools.pairwise(tokens)):
        if (first.string, second.string) == ("shell", ":"):
            rest = iter(tokens[index + 2 :])
            parts = []
            while (token := next(rest)).type == tokenize.STRING:
                parts.append(token.string)
            commands.append("".join(parts))
    return commands


def unquoted(command):
    """Placeholders of a command that are neither quoted nor numbers."""
    return [name for name in re.findall(r"\{([^{}]*)\}", command) if not name.endswith(":q") and name not in NUMBERS]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_placeholder_in_a_shell_command_is_quoted(path):
    text = path.read_text()
    commands = shell_commands(text)
    assert len(commands) == len(re.findall(r"^\s+shell:", text, re.MULTILINE))
    assert not [(name, command) for command in commands for name in unquoted(command)]


def test_all_rules_with_a_command_were_looked_at():
    assert sum(len(shell_commands(path.read_text())) for path in FILES) >= 10


def test_numbers_are_constrained_to_digits():
    common = (plugins.ROOT / "workflow" / "rules" / "common.smk").read_text()
    assert re.search(r'^    ratio="\[0-9\]\+",$', common, re.MULTILINE)


def test_an_unquoted_placeholder_would_be_found():
    rule = (
        'rule a:\n    input:\n        "b",\n    shell:\n        "cat {input} --x {params.x:q} "\n        "{threads}"\n'
    )
    (command,) = shell_commands(rule)
    assert unquoted(command) == ["input"]


def test_no_rule_runs_code_of_its_own():
    """Only `shell` directives are looked at here, so commands may come from nowhere else."""
    for path in FILES:
        assert not re.search(r"^\s+(run|wrapper|cwl):", path.read_text(), re.MULTILINE), path
        assert not re.search(r"\bshell\(|os\.system|shell=True", path.read_text()), path
