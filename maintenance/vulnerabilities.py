"""Known vulnerabilities of the packages of requirements.lock, by pip-audit in an environment of its own.

It reports and never fails: what is found is for people to weigh, and a database may be out of reach.
"""

import json
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

LOCK = Path(__file__).resolve().parent.parent / "requirements.lock"
PATIENCE = 180
"""Seconds that installing, and then asking, may take."""


def main() -> None:
    """Print one line for each known vulnerability, and one that says what was looked at."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        python, found = folder / "venv" / "bin" / "python", folder / "found.json"
        venv.create(folder / "venv", with_pip=False)
        pip = [sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check"]
        if failure := attempt([*pip, "install", "--quiet", "--only-binary", ":all:", "pip-audit"], folder):
            print(f"audit: not done, pip-audit could not be installed: {failure}")
            return
        # The lock is complete, so that nothing needs to be resolved or installed again.
        audit = [python, "-m", "pip_audit", "--disable-pip", "--no-deps", "--progress-spinner", "off"]
        failure = attempt([*audit, "--requirement", LOCK, "--format", "json", "--output", found], folder)
        # With vulnerabilities found it ends as with an error; the file tells them apart.
        print(summary(json.loads(found.read_text())) if found.exists() else f"audit: not done: {failure}")


def attempt(command: list[str | Path], folder: Path) -> str:
    """Run a command; return the last line that it printed where it failed or took too long, else nothing."""
    with (folder / "log").open("w+") as log:  # a file, since a pipe may outlive the command in a child's hands
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, timeout=PATIENCE, check=False
            )
        except subprocess.TimeoutExpired:
            return f"no answer within {PATIENCE} seconds"
        log.seek(0)
        lines = log.read().split("\n")
    return next((line for line in reversed(lines) if line.strip()), "no message") if done.returncode else ""


def summary(found: dict) -> str:
    """Text of what pip-audit has `found`: a package that its database does not know counts as not audited."""
    packages = found["dependencies"]
    audited = [package for package in packages if "vulns" in package]
    unknown = [package["name"] for package in packages if "vulns" not in package]
    if not audited:
        return f"audit: not done, the database answered for none of the {len(packages)} packages"
    lines = [
        f"{package['name']} {package['version']}: {about['id']}, mended in {', '.join(about['fix_versions']) or 'none'}"
        for package in audited
        for about in package["vulns"]
    ]
    total = f"audit: {len(audited)} of {len(packages)} packages audited, {len(lines)} known vulnerabilities"
    return "\n".join([*lines, f"{total}; not in the database: {', '.join(unknown)}" if unknown else total])


if __name__ == "__main__":
    main()
