# The two commands: `make demo` and `make test`. Both build .venv from requirements.lock first; `make help` has the rest.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# torch pins its own CUDA packages; the lock leaves them to it, so that CPU-only builds install too.
CUDA_PACKAGES := cuda-bindings cuda-pathfinder cuda-toolkit nvidia-cublas nvidia-cuda-cupti nvidia-cuda-nvrtc \
	nvidia-cuda-runtime nvidia-cudnn-cu13 nvidia-cufft nvidia-cufile nvidia-curand nvidia-cusolver nvidia-cusparse \
	nvidia-cusparselt-cu13 nvidia-nccl-cu13 nvidia-nvjitlink nvidia-nvshmem-cu13 nvidia-nvtx triton

.PHONY: help demo test paper-plan lint lock audit docs clean
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
	$(BIN)/snakemake

paper-plan: $(VENV)/.installed  ## jobs, time and disk that the paper's tables take; nothing is downloaded
	$(BIN)/snakemake --configfile config/paper.yaml --dry-run --quiet rules
	$(BIN)/python -m smifbench plan config/paper.yaml

test: $(VENV)/.installed  ## the whole test suite
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadgroup

lint: $(VENV)/.installed  ## style of Python and Snakemake code
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/snakemake --lint

lock:  ## rewrite requirements.lock from pyproject.toml (needs uv)
	uv pip compile --quiet --universal --python-version 3.11 --group test --group dev pyproject.toml \
		--no-header --no-annotate --no-emit-index-url $(CUDA_PACKAGES:%=--no-emit-package %) -o requirements.lock

audit: $(VENV)/.installed  ## known vulnerabilities of the locked packages: a report, which fails nothing
	-$(BIN)/python maintenance/vulnerabilities.py

docs: $(VENV)/.installed  ## rewrite what pages take from the code: notices, picture of the rooms, config keys
	$(BIN)/python maintenance/notices.py
	$(BIN)/python maintenance/architecture.py
	$(BIN)/python maintenance/config_page.py

clean:  ## remove the demo's outputs and all prepared scenes; keep the environment and what was downloaded
	rm -rf results/demo data/scenes data/pairs
