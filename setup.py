"""What pyproject.toml cannot say: folders beside the package that a wheel carries inside it."""

from setuptools import find_packages, setup

BESIDE = {
    f"smifbench.{folder.replace('/', '.')}": folder
    for folder in ("methods", "datasets", "results/published", "config", "zoo")
}

setup(packages=[*find_packages(include=["smifbench*"]), *BESIDE], package_dir=BESIDE)
