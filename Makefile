# The two commands a newcomer needs: `make demo` and `make test`. Everything else is for whoever changes the code.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: setup demo test notebooks lint docs bench evaluate lock sbom audit clean

setup: .venv/ready

# uv installs the lock in seconds; where it cannot be had, pip installs the same hashed lock in minutes.
.venv/ready: requirements.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	if $(BIN)/python -m pip install --quiet --disable-pip-version-check uv; then \
	  VIRTUAL_ENV=.venv $(BIN)/uv pip install --quiet --require-hashes -r requirements.lock; \
	else \
	  $(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock; \
	fi
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

demo: setup
	$(BIN)/illegalmining demo demo

test: setup lint
	$(BIN)/python -m pytest

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Jupyter on the notebooks; `make demo` comes first. They are text: right click, Open With, Notebook.
notebooks: setup
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --editable '.[notebooks]'
	$(BIN)/jupyter lab notebooks

# The site, into build/site: warnings are errors, nothing is fetched.
docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

bench: setup
	for script in benchmarks/bench_*.py; do $(BIN)/python $$script || exit 1; done

# docs/accuracy.md, in about 40 minutes on two idle cores; EVALUATE="--districts 8" for more of it.
evaluate: setup
	$(BIN)/python benchmarks/evaluate.py $(EVALUATE)

lock:
	$(BIN)/uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes \
	  --no-emit-find-links --no-emit-index-url --no-annotate --no-header --output-file requirements.lock
	$(BIN)/python .ci/pins.py > environment.yml

# what the product is made of, in CycloneDX; and known faults of it, by advisories in OSV's form: make audit ADVISORIES=all.zip
sbom: setup
	mkdir -p build
	$(BIN)/python .ci/supply.py sbom > build/sbom.cdx.json

audit: setup
	$(BIN)/python .ci/supply.py audit $(ADVISORIES)

clean:
	rm -rf .venv demo build dist src/*.egg-info
