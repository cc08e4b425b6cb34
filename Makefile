#: make lab        install what is missing and open the course in JupyterLab
#: make test       install what is missing and run every test
#: make notebooks  generate notebooks/ and exercises/ from their sources
#: make lint       check the style of the code
#: make bench      measure the speed against PyTorch and others; writes runs/bench.json
#: PYTHON=python3.12 (say) picks the interpreter that .venv is made from
BIN := .venv/bin
export PYTHON

.PHONY: help lab test notebooks lint bench
help:
	@sed -n 's/^#: //p' Makefile

lab: .venv/installed
	@$(BIN)/course lab

test: .venv/installed lint
	@$(BIN)/python -m pytest

notebooks: .venv/installed
	@$(BIN)/python notebooks/generate.py

lint: .venv/installed
	@$(BIN)/ruff check --quiet .

bench: .venv/installed
	@$(BIN)/python -m tests.bench

.venv/installed: pyproject.toml constraints.txt
	@sh .ci/install
