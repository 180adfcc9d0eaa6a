# A second call of any target finds its set-up and results and does only what is new.
PYTHON ?= python3
UV ?= uv
BIN := .venv/bin
.DEFAULT_GOAL := paper
.PHONY: paper test render lab check versions lock clean help setup

paper: setup ## recompute the laptop cells and render _report/paper.html and _report/paper.pdf (default)
	@$(BIN)/mglib paper

test: check ## prepare the data, then lint, type check, tests and notebooks
	@$(BIN)/mglib prepare emoji_sentiment
	@$(BIN)/mglib prepare numerals --perceptor frozen --modality words --modality handwriting_clean \
	  --modality speech_clean
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n logical --maxprocesses 4 --dist loadfile \
	  --no-loadscope-reorder

render: setup ## only render the paper, from the committed reference rows; computes nothing
	@$(BIN)/mglib paper --render

lab: setup ## open the notebooks in JupyterLab
	@$(BIN)/jupyter lab notebooks

check: setup ## lint and type check
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy

versions: setup ## record the code of raised versions (SAME=NAME: changed, but no result is)
	@$(BIN)/python -m mglib.keys.versions $(SAME)

setup: ## create or update .venv from requirements.lock (TORCH_INDEX: another index for torch)
	@$(PYTHON) -m mglib.bootstrap

lock: ## resolve pyproject.toml into requirements.lock (needs uv; UV=path)
	$(UV) pip compile pyproject.toml --all-extras --universal --python-version 3.11 --upgrade \
	  --fork-strategy fewest --only-binary :all: --no-binary connection-pool --generate-hashes \
	  --no-emit-package torch --no-annotate --no-emit-index-url --no-emit-find-links \
	  --custom-compile-command "make lock" --quiet --output-file requirements.lock

clean: ## remove what was generated: report, fresh rows, caches (not .venv, not the data cache)
	rm -rf _report _rows .snakemake .mypy_cache .pytest_cache .ruff_cache *.egg-info
	find mglib tests benchmarks notebooks \( -name __pycache__ -o -name .ipynb_checkpoints \) \
	  -prune -exec rm -rf {} +

help: ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10
