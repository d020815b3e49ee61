# Two commands matter: `make demo` and `make test`. Each does all its own set-up.
VENV ?= .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.installed
PIN := -c constraints.txt

.PHONY: demo shop test test-model mutants generate docs lint bench wheel clean

$(STAMP): pyproject.toml constraints.txt
	python3 -m venv $(VENV)
	$(PY) -m pip install -q --disable-pip-version-check $(PIN) torch
	$(PY) -m pip install -q --disable-pip-version-check $(PIN) -e '.[all,dev]'
	$(PY) -m pip check
	touch $@

demo: $(STAMP)  ## simulate a shop, encode it, fit three models, write a report
	$(PY) -m palate demo demo

shop: $(STAMP)  ## serve what the demonstration fitted: a page and an HTTP API
	test -f demo/run/manifest.json || $(MAKE) demo
	$(PY) -m palate serve demo/run

# two processes of one thread each are faster than one of two: most tests are too small for a second thread
test: $(STAMP) lint  ## lint, types, rooms, then every fast test
	OMP_NUM_THREADS=1 $(PY) -m pytest -n 2 --dist loadfile

UNIT = $(wildcard tests/models/test_*$(NAME)*.py)
test-model: $(STAMP)  ## NAME=...: stored outputs, contract and unit tests of one model or pretrainer, in under a minute
	@test -n "$(NAME)" || { echo "name a model or pretrainer: make test-model NAME=ease"; exit 2; }
	$(PY) -m pytest tests/stored tests/contract $(UNIT) \
		-k "[$(NAME)] or [$(NAME)- $(foreach file,$(notdir $(UNIT)),or $(file))"

mutants: $(STAMP)  ## 60 wrong versions of the code, each tried in a copy against the tests that must catch it (half an hour)
	$(PY) tools/mutants/run.py

generate: $(STAMP)  ## rewrite the files that are made from code: stubs, the page of settings, the picture of the house
	$(PY) tools/generate.py

docs: $(STAMP)  ## the pages and the API reference as a site in site/; a dead link or an undocumented symbol fails
	$(PY) -m pip install -q --disable-pip-version-check $(PIN) -e '.[docs]'
	$(PY) tools/check_docstrings.py
	$(VENV)/bin/mkdocs build --strict

lint: $(STAMP)
	$(VENV)/bin/ruff format --check src tests benchmarks tools examples
	$(VENV)/bin/ruff check src tests benchmarks tools examples
	$(PY) tools/check_docstrings.py
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

wheel: $(STAMP)  ## build the wheel, install it elsewhere, use it there
	$(PY) benchmarks/wheel_check.py

bench: $(STAMP)  ## speed ratios of this machine, side by side with their bounds
	$(PY) -m palate bench

clean:
	rm -rf $(VENV) demo build dist site
