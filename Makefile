#: make lab        install what is missing and open the course in JupyterLab
#: make test       install what is missing and run every test
#: make notebooks  generate notebooks/ and exercises/ from their sources
#: make lint       check the style of the code
#: make train      train the small translator that ships with the course anew, in about five minutes on two cores
#: make bench      measure the speed against PyTorch and others; writes runs/bench.json
#: PYTHON=python3.12 (say) picks the interpreter that .venv is made from
BIN := .venv/bin
export PYTHON

.PHONY: help lab test train notebooks lint bench
help:
	@sed -n 's/^#: //p' Makefile

lab: .venv/installed
	@$(BIN)/course lab

test: .venv/installed
	@$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile

SHIPPED := course_lib/assets/grammar_en_zh
train: .venv/installed
	@$(BIN)/course train --corpus grammar --preset tiny --epochs 8 --device cpu --precision fp32 \
		--snapshots --out runs/grammar_en_zh
	@mkdir -p $(SHIPPED) && cp $(addprefix runs/grammar_en_zh/,run.json tokenizer.json model.safetensors result.json snapshots.safetensors) $(SHIPPED)

notebooks: .venv/installed
	@$(BIN)/python notebooks/generate.py

lint: .venv/installed
	@$(BIN)/ruff check --quiet .

bench: .venv/installed
	@$(BIN)/python -m tests.bench

.venv/installed: pyproject.toml constraints.txt
	@sh .ci/install
