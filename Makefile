# The commands of the README. Each makes what it needs first: a machine with Python 3.10+, git and make is enough.
#
#   make demo [ONCE=1]      a shop that breaks in instructive ways, and the page that shows how
#   make test [ARGS=...]    the whole suite; ARGS go to pytest, e.g. ARGS="tests/frames -x"
#   make soak [ARGS=MINUTES]  delivery against a server that comes and goes, ten minutes
#   make lint               ruff, mypy, pyright
#   make versions [ARGS=..] the integrations with the oldest supported versions of their frameworks
#   make bench [ARGS=...]   phtrack beside posthog and sentry-sdk; ARGS name benchmarks, e.g. ARGS=core
#   make wheel              dist/phtrack-*.whl
#   make clean              everything these made
#
# PYTHON chooses the interpreter, VENV where its environment lies.

find_python = $(shell for name in python3 python3.13 python3.12 python3.11 python3.10 python; do \
	$$name -c 'import sys; sys.exit(sys.version_info < (3, 10))' >/dev/null 2>&1 && { echo $$name; break; }; done)
PYTHON ?= $(find_python)
VENV ?= .venv
RUN = $(VENV)/bin/python
ARGS ?=

.PHONY: demo test soak lint versions bench measure wheel clean python

demo: $(VENV)/.demo
	@$(RUN) -m phtrack demo $(if $(ONCE),--once)

test: $(VENV)/.dev
	@$(RUN) -m pytest $(ARGS)

soak: $(VENV)/.dev
	@$(RUN) -m tests.soak $(ARGS)

lint: $(VENV)/.lint
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy
	$(RUN) -m mypy --strict tests/typing
	$(RUN) -m pyright

# In an environment of its own.
versions: | $(VENV)/bin/python
	@$(RUN) -m tests.integrations.versions $(ARGS)

# Environments of their own: what else is installed changes what some SDKs load and do.
BENCH = $(if $(filter web,$(ARGS)),bench-web,bench)
bench:
	@$(MAKE) --no-print-directory measure VENV=$(VENV)-$(BENCH) ARGS="$(ARGS)"

measure: $(VENV)/.$(BENCH)
	@$(RUN) -m tests.benchmarks $(ARGS)

wheel: | $(VENV)/bin/python
	@rm -rf build
	@$(RUN) -m pip wheel --quiet --quiet --disable-pip-version-check --no-deps --wheel-dir dist .

clean:
	rm -rf .venv* build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

python:
	@test -n "$(PYTHON)" || { echo "phtrack needs Python 3.10 or newer, and none was found. Install one, or name it: make test PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) -c 'import sys; v = "%d.%d" % sys.version_info[:2]; sys.exit(sys.version_info < (3, 10) and "phtrack needs Python 3.10 or newer; $(PYTHON) is " + v)'

$(VENV)/bin/python: | python
	@echo "Creating $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV)

# One stamp per set of extras: installed again when pyproject.toml changed. Bytecode is made when a module is first used: most
# of what comes along never is.
$(VENV)/.demo: EXTRA = inbox
$(VENV)/.dev: EXTRA = dev
$(VENV)/.lint: EXTRA = lint
$(VENV)/.bench: EXTRA = bench
$(VENV)/.bench-web: EXTRA = bench-web
$(VENV)/.demo $(VENV)/.dev $(VENV)/.lint $(VENV)/.bench $(VENV)/.bench-web: pyproject.toml | $(VENV)/bin/python
	@echo "Installing phtrack[$(EXTRA)] into $(VENV)"
	@$(RUN) -m pip install --quiet --quiet --disable-pip-version-check --no-compile -e ".[$(EXTRA)]"
	@touch $@
