# Each target installs the pinned packages that it needs into one virtual environment, unless they are there.

PYTHON ?= python3
SOURCE ?=
MODEL ?= runs/reader/reader-of-four-fifths-0
BESIDE ?=
PICTURES ?=
NUMBERS ?=
HANDS ?=
PYTHONS ?=
NUMPYS ?=
RECIPE ?= standard
BIN := .venv/bin
PEERS := .venv-peers/bin
LOWEST := .venv-lowest/bin
RAY := .venv-ray/bin
DOCS := .venv-docs/bin
INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt -e
TRAIN_READY := .venv/.ready-train
SERVE_READY := .venv/.ready-serve
READY := .venv/.ready
# a process for each processor, up to four: each holds torch, a quarter of a gigabyte
PARALLEL := -n auto --maxprocesses 4 --dist loadfile
DOCS_READY := .venv-docs/.ready
PEERS_READY := .venv-peers/.ready
BROWSER_READY := .venv/.ready-browser
LOWEST_READY := .venv-lowest/.ready
RAY_READY := .venv-ray/.ready

# pip would compile 10,000 modules, of which training imports 3,000. Python compiles these when it first imports them,
# and keeps them, which some containers forbid by a value here.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: run serve test test-browser test-hostile test-lowest test-quick test-ray coverage browser-programs check lint types \
bench bench-ray bench-service bench-threads bench-start compare installs reliability robustness mnist model docs clean help

help:
	@echo "make run           train, report and evaluate on SOURCE=digit-recognizer.zip; default: data/, else the bundled digits"
	@echo "make serve         start the page and the HTTP interface on http://127.0.0.1:8000"
	@echo "make test          run the tests"
	@echo "make test-quick    run the tests except the slow ones"
	@echo "make test-browser  look at reports in Chromium; where missing, apt-get installs it and Java"
	@echo "make test-lowest   run the tests with the lowest versions that pyproject.toml allows"
	@echo "make test-ray      run the tests that need Ray, on a cluster of several nodes on this machine: a quarter of an hour"
	@echo "make coverage      run the tests and print the lines that they do not reach"
	@echo "make test-hostile  send the service MUTATED=20000 damaged pictures, from number MUTATED_FROM=0 on: half an hour"
	@echo "make check         ruff, mypy, the commands and links of the documentation, and its site"
	@echo "make docs          build the site of the documentation: site/index.html"
	@echo "make bench         measure this kind of processor on SOURCE, beside Keras and torch: half an hour or more"
	@echo "make mnist         train on MNIST's 60,000 images and evaluate once on its 10,000; downloads them"
	@echo "make model         rebuild the models that come with the package from SOURCE: three hours"
	@echo "make robustness    measure corrupted digits, numbers, non-digits and speed on SOURCE, on the images that MODEL held out"
	@echo "make bench-service measure the service: rates, endurance, overload, shutdowns; a quarter of an hour"
	@echo "make bench-ray     measure how reading scales with Ray's actors, and what they cost: half an hour"
	@echo "make bench-threads measure training and prediction beside busy processes and under a quota: four minutes"
	@echo "make bench-start   measure the time from the command to the first step, for each kind of source: a few minutes"
	@echo "make reliability   measure killed trainings, full and failing disks and little memory, as root: half an hour"
	@echo "make installs      install the wheel with each extra in PYTHONS='python3.11 python3.13', NUMPYS='1.26.4 2.4.6'; use and measure it"
	@echo "make compare       read PICTURES and NUMBERS with this package and with other programs"
	@echo "make clean         remove the virtual environments and caches; runs/ and data/ stay"

run: $(TRAIN_READY)
	@run=runs/$$(date +%Y-%m-%d-%H%M%S)-$(RECIPE) && \
	$(BIN)/digits train $(SOURCE) --recipe $(RECIPE) --out $$run --report && \
	$(BIN)/digits evaluate $$run

test: $(READY)
	$(BIN)/pytest $(PARALLEL)

test-quick: $(READY)
	$(BIN)/pytest -q $(PARALLEL) -m "not slow"

test-lowest: $(LOWEST_READY)
	$(LOWEST)/pytest -W default

test-ray: $(RAY_READY)
	$(RAY)/pytest tests_ray

coverage: $(READY)
	$(BIN)/coverage run -m pytest
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

serve: $(SERVE_READY)
	$(BIN)/digits serve

test-hostile: $(READY)
	MUTATED=$(or $(MUTATED),20000) $(BIN)/pytest tests/test_service_hostile.py

test-browser: $(BROWSER_READY) browser-programs
	$(BIN)/pytest $(PARALLEL) tests_browser

# Playwright's own browsers come from a server of their own; Debian's Chromium comes with the system's updates.
browser-programs:
	@found() { command -v "$$1" >/dev/null 2>&1; }; missing=; \
	found chromium || found google-chrome || found chromium-browser || missing=chromium; \
	found java || missing="$$missing default-jre-headless"; \
	test -z "$$missing" || { test "$$(id -u)" = 0 && found apt-get && \
	apt-get update && apt-get install -y --no-install-recommends $$missing; } || \
	{ echo "the browser test needs" $$missing": install them, on Debian with 'apt install'" >&2; exit 1; }

check: lint types docs
	$(BIN)/pytest -q tests/test_docs.py tests/test_site.py

# The site imports commands, recipes and the service, but neither trains nor reads: torch is not needed.
docs: $(DOCS_READY)
	NO_MKDOCS_2_WARNING=1 $(DOCS)/mkdocs build --clean
	@echo "site/index.html"

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy
	$(BIN)/mypy --config-file tests/mypy.ini

bench: $(TRAIN_READY) $(PEERS_READY)
	$(BIN)/python benchmarks/bench.py $(or $(SOURCE),data/digit-recognizer.zip) \
	--peers-python $(PEERS)/python
	$(BIN)/python benchmarks/results.py

mnist: $(TRAIN_READY)
	@run=runs/$$(date +%Y-%m-%d-%H%M%S)-mnist && \
	$(BIN)/digits train mnist --recipe $(RECIPE) --set split.validation=0.0 --out $$run && \
	$(BIN)/digits evaluate $$run mnist --part test

model: $(TRAIN_READY)
	$(BIN)/python tools/build_reader.py $(or $(SOURCE),data/digit-recognizer.zip) $(if $(HANDS),--hands $(HANDS))

bench-service: $(READY)
	$(BIN)/python benchmarks/service.py -o benchmarks/service.json

bench-threads: $(TRAIN_READY)
	$(BIN)/python benchmarks/threads.py -o benchmarks/threads.json

bench-ray: $(RAY_READY)
	$(RAY)/python benchmarks/scaling.py -o benchmarks/scaling.json

bench-start: $(READY)
	$(BIN)/python benchmarks/first_step.py $(or $(SOURCE),data/digit-recognizer.zip)

reliability: $(TRAIN_READY)
	$(BIN)/python benchmarks/reliability.py -o benchmarks/reliability.json

# Default: the Pythons that are found; with NUMPYS, what notebook services do: NumPy first, and the newest of the rest.
installs: $(READY)
	$(BIN)/python benchmarks/installs.py $(PYTHONS) $(addprefix --numpy ,$(NUMPYS))

compare: $(READY)
	$(BIN)/python benchmarks/compare.py $(PICTURES) $(NUMBERS) \
	--archive $(or $(SOURCE),data/digit-recognizer.zip) -o benchmarks/compare.json

robustness: $(READY)
	$(BIN)/python benchmarks/robustness.py $(or $(SOURCE),data/digit-recognizer.zip) --model $(MODEL) \
	$(if $(BESIDE),--beside $(BESIDE)) $(if $(PICTURES),--pictures $(PICTURES)) -o benchmarks/robustness.json
	$(BIN)/python benchmarks/read_numbers.py $(or $(SOURCE),data/digit-recognizer.zip) \
	$(if $(PICTURES),--pictures $(PICTURES)) $(if $(NUMBERS),--numbers $(NUMBERS)) $(if $(HANDS),--hands $(HANDS))

$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	{ echo "Python 3.11 or newer is needed: name one with 'make PYTHON=python3.12 …'" >&2; exit 1; }
	@$(PYTHON) -m venv .venv || \
	{ echo "this Python makes no virtual environment: install it, on Debian with 'apt install python3-venv'" >&2; exit 1; }

$(TRAIN_READY): pyproject.toml constraints.txt | $(BIN)/pip
	$(INSTALL) '.[train]'
	@touch $@

$(SERVE_READY): pyproject.toml constraints.txt | $(BIN)/pip
	$(INSTALL) '.[serve]'
	@touch $@

$(READY): pyproject.toml constraints.txt | $(BIN)/pip
	$(INSTALL) '.[train,tune,serve,dev]'
	@touch $(TRAIN_READY) $(SERVE_READY) $@

$(BROWSER_READY): $(READY)
	$(INSTALL) '.[browser]'
	@touch $@

$(DOCS_READY): pyproject.toml constraints.txt
	@$(PYTHON) -m venv .venv-docs
	$(DOCS)/pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt -e '.[serve,docs]'
	@touch $@

# Old releases of torch bring several GB for NVIDIA's processors: set UV_TORCH_BACKEND=cpu to avoid them. Old packages
# beside new ones cause warnings, so warnings do not fail these tests.
$(LOWEST_READY): pyproject.toml
	$(PYTHON) -m venv .venv-lowest
	$(LOWEST)/pip install --quiet --disable-pip-version-check uv
	$(LOWEST)/uv pip install --quiet --python $(LOWEST)/python --resolution lowest-direct \
	-e '.[train,tune,serve,pdf,dev]'
	@touch $@

# Its own environment, because the other tests are also about what is not installed.
$(RAY_READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv-ray
	$(RAY)/pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt -e '.[train,tune,ray,dev]'
	@touch $@

$(PEERS_READY): benchmarks/requirements-peers.txt
	$(PYTHON) -m venv .venv-peers
	$(PEERS)/pip install --quiet --disable-pip-version-check --no-compile -r $<
	@touch $@

clean:
	rm -rf .venv .venv-docs .venv-peers .venv-compare .venv-lowest .venv-ray site .pytest_cache .mypy_cache .ruff_cache .hypothesis
