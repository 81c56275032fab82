# The two commands: `make demo` and `make test`. Both build .venv from requirements.lock first; `make help` has the rest.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# torch pins its own CUDA packages; the lock leaves them to it, so that CPU-only builds install too.
CUDA_PACKAGES := cuda-bindings cuda-pathfinder cuda-toolkit nvidia-cublas nvidia-cuda-cupti nvidia-cuda-nvrtc \
	nvidia-cuda-runtime nvidia-cudnn-cu13 nvidia-cufft nvidia-cufile nvidia-curand nvidia-cusolver nvidia-cusparse \
	nvidia-cusparselt-cu13 nvidia-nccl-cu13 nvidia-nvjitlink nvidia-nvshmem-cu13 nvidia-nvtx triton

# What the demo takes of one core, roughly.
DEMO_MINUTES := 10

.PHONY: help demo demo-check test slurm fuzz faults paper-plan style types lint site links docs lock audit clean
.DEFAULT_GOAL := demo

$(VENV)/.installed: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("smifbench needs Python 3.11 or newer; set PYTHON=python3.x") if sys.version_info < (3, 11) else 0'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

help:  ## what there is to make
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s%s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.installed  ## the embedded experiment, end to end
	@test -e results/demo/report.html || echo "The first picture, results/demo/figures/fig2_pseudo_colour.png, is there in \
	about $$(($(DEMO_MINUTES) / $$(getconf _NPROCESSORS_ONLN) + 2)) minutes: nine networks are trained before it. Nothing is downloaded."
	$(BIN)/snakemake
	@echo "What to do next:"
	@echo "1. look around: open results/demo/report.html in a browser; then docs/first_hour.ipynb sets a method of yours into its table"
	@echo "2. add a method: $(BIN)/python -m smifbench new-method my_net writes one that trains; docs/add_method.md goes on"
	@echo "3. fuse your own files: $(BIN)/python -m smifbench fuse --help; docs/fuse.md has examples"

demo-check: $(VENV)/.installed  ## whether the demo's networks have learnt, its rows hold and nothing is left to do
	$(BIN)/python maintenance/demo_check.py
	$(BIN)/python -m smifbench verify results/demo --all
	$(BIN)/snakemake 2>&1 | tee -a /dev/stderr | grep "Nothing to be done" >/dev/null

paper-plan: $(VENV)/.installed  ## jobs, time and disk that the paper's tables take; nothing is downloaded
	$(BIN)/snakemake --configfile config/paper.yaml --dry-run --quiet rules
	$(BIN)/python -m smifbench plan config/paper.yaml

test: $(VENV)/.installed  ## the whole test suite
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadgroup

slurm: $(VENV)/.installed  ## an experiment on a cluster of one node, one job of it cancelled (root and Debian's slurm-wlm)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/workflow/test_slurm.py | tee -a /dev/stderr | grep "1 passed" >/dev/null

fuzz: $(VENV)/.installed  ## thousands of configs, headers, images and tables
	SMIFBENCH_FUZZ=long OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 tests/fuzz

faults: $(VENV)/.installed  ## kills, full and read-only disks, two runs at once
	SMIFBENCH_FAULTS=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 tests/faults/test_interruptions.py

style: $(VENV)/.installed  ## style of the code and the workflow
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/snakemake --lint

types: $(VENV)/.installed  ## types of the code
	$(BIN)/mypy

lint: style types  ## style and types

site: $(VENV)/.installed  ## the documentation site, build/site/index.html; needs no network
	$(BIN)/python -m sphinx --quiet --fail-on-warning --keep-going docs build/site

links: $(VENV)/.installed  ## whether the site's links to other sites lead somewhere; needs a network
	$(BIN)/python -m sphinx --quiet -b linkcheck docs build/links

lock:  ## rewrite requirements.lock from pyproject.toml (needs uv)
	uv pip compile --quiet --universal --python-version 3.11 --group test --group docs --group dev pyproject.toml \
		--no-header --no-annotate --no-emit-index-url $(CUDA_PACKAGES:%=--no-emit-package %) -o requirements.lock

audit: $(VENV)/.installed  ## known vulnerabilities of the locked packages: a report, which fails nothing
	-$(BIN)/python maintenance/vulnerabilities.py

docs: $(VENV)/.installed  ## rewrite what pages take from the code: notices, picture of the rooms, config keys
	$(BIN)/python maintenance/notices.py
	$(BIN)/python maintenance/architecture.py
	$(BIN)/python maintenance/config_page.py

clean:  ## remove the demo's outputs and all prepared scenes; keep the environment and what was downloaded
	rm -rf results/demo data/scenes data/pairs
