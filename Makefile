#: make lab        install what is missing and open the course in JupyterLab
#: make test       install what is missing and run every test
#: make notebooks  generate notebooks/ and exercises/ from their sources
#: make lint       check the style of the code
#: PYTHON=python3.12 (say) picks the interpreter that .venv is made from
BIN := .venv/bin
export PYTHON

.PHONY: help lab test notebooks lint
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

.venv/installed: pyproject.toml constraints.txt
	@sh .ci/install
