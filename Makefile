# Two commands do it all: `make run` (the demo) and `make test`. Nothing needs to be installed before but Python and git.
# Targets are relative to this folder, so that its path may hold spaces.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.PHONY: run test check format docs clean help

BIN := .venv/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PATH := $(CURDIR)/$(BIN):$(PATH)

help: ## show the targets
	@sed -n 's/^\([a-z]*\):.*## /make \1\t/p' Makefile

run: results/demo/samples.tsv ## install what a run needs, run the demo by both methods into results/, say where to look
	snakemake --cores 2 --quiet rules host --config samples=results/demo/samples.tsv results=results
	snakemake --cores 2 --quiet rules host --config samples=results/demo/samples.tsv results=results/maskrcnn segmentation='{method: maskrcnn}'
	cellseg demo results/demo --report results --report results/maskrcnn

test: .venv/installed-dev ## install all, run the whole test suite
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python -m pytest -n 2 --dist loadfile # threads that wait for each other double the time

check: .venv/installed-dev ## what the tests cannot see: style, types, workflow lint
	ruff check .
	ruff format --check .
	mypy --strict cellseg
	snakefmt --check Snakefile workflows
	snakemake --lint --config samples=tests/workflow/samples.tsv
	snakemake --lint -s workflows/red_cells/Snakefile
	snakemake --lint -s workflows/tumor_nuclei/Snakefile

format: .venv/installed-dev ## put code in the house style
	ruff check --fix .
	ruff format .
	snakefmt Snakefile workflows

docs: .venv/installed-dev ## generate what is generated: config.yaml, schemas, docs, conda environment
	mkdir -p build
	cellseg config > build/generated && cp build/generated config.yaml
	cellseg config --readme > build/generated && cp build/generated config/README.md
	cellseg schema config > build/generated && cp build/generated workflows/schemas/config.schema.json
	cellseg schema samples > build/generated && cp build/generated workflows/schemas/samples.schema.json
	cellseg columns --markdown > build/generated && cp build/generated docs/tables.md
	.ci/pin-env > build/generated && cp build/generated workflows/envs/cellseg.yaml

# Written anew only when what draws it has changed, so that a second run finds nothing to do.
results/demo/samples.tsv: .venv/installed-run cellseg/simulate.py cellseg/stages/simulate.py cellseg/stages/demo.py
	cellseg demo results/demo

clean: ## remove the demo's images and what the tools left; .venv and results stay
	rm -rf results/demo .snakemake .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist

.venv/bin/python:
	@.ci/make-venv .venv

.venv/installed-run: .venv/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet -c constraints.txt -e .
	$(BIN)/cellseg warm-up
	@touch $@

.venv/installed-dev: .venv/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	$(BIN)/cellseg warm-up
	@touch $@ .venv/installed-run
