# Each target needs nothing but Python 3.11 or newer and make: it creates .venv,
# installs what it needs in the tested versions, and runs.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

STUDIES := convolution tied_or_untied activations_and_losses penalty_and_size schedules \
	overhead robustness connections norm_and_error depth

.PHONY: help demo test lint docs bench studies others clean

help:
	@echo "make demo   contractive features against pixels in a linear SVM"
	@echo "make test   the test suite, with coverage"
	@echo "make lint   formatting, lint and types"
	@echo "make docs   the documentation, in docs/_build/html"
	@echo "make bench  how fast it is, on this machine (about half an hour)"
	@echo "make studies the open questions, small, in results/studies (a few minutes)"
	@echo "make others the page on other libraries, with those installed in .venv-others"
	@echo "make clean  remove .venv and what the targets wrote"

demo: $(VENV)/demo.installed
	$(BIN)/python benchmarks/linear_svm.py

test: $(VENV)/test.installed
	$(BIN)/python -m pytest -n 2 --dist worksteal --cov --cov-report=term

lint: $(VENV)/lint.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/docs.installed
	$(BIN)/python -m sphinx --fail-on-warning --keep-going docs docs/_build/html

bench: $(VENV)/demo.installed
	$(BIN)/python benchmarks/speed/steps.py
	$(BIN)/python benchmarks/speed/steps.py --threads 2 --shapes 784x1000
	$(BIN)/python benchmarks/speed/small.py
	$(BIN)/python benchmarks/speed/networks.py
	$(BIN)/python benchmarks/speed/precision.py
	$(BIN)/python benchmarks/speed/fit.py
	$(BIN)/python benchmarks/speed/grid.py
	$(BIN)/python benchmarks/speed/data_parallel.py
	$(BIN)/python benchmarks/speed/peers.py
	$(BIN)/python benchmarks/speed/shared_vectors.py
	$(BIN)/python benchmarks/speed/spectrum.py

studies: $(VENV)/test.installed
	for study in $(STUDIES); do \
		$(BIN)/python -m benchmarks.studies.$$study --small || exit 1; \
	done

others: .venv-others/installed
	.venv-others/bin/python benchmarks/other_libraries.py

clean:
	rm -rf $(VENV) .venv-others results dist build .coverage .hypothesis
	rm -rf .mypy_cache .pytest_cache .ruff_cache
	rm -rf docs/_build docs/auto_examples docs/reference/generated
	rm -f docs/sg_execution_times.rst

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

.venv-others/installed: pyproject.toml benchmarks/other_libraries.txt
	$(PYTHON) -m venv .venv-others
	.venv-others/bin/python -m pip install --quiet --disable-pip-version-check \
		-r benchmarks/other_libraries.txt -e ".[io]"
	@touch $@

$(VENV)/demo.installed: EXTRAS := plot,progress
$(VENV)/test.installed: EXTRAS := test
$(VENV)/lint.installed: EXTRAS := lint
$(VENV)/docs.installed: EXTRAS := docs
$(VENV)/%.installed: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) -e ".[$(EXTRAS)]"
	@touch $@
