# Two commands to know: `make run` and `make test`. Needs python3 (3.11 or newer), make and git; everything else
# goes into .venv. ARGS are passed on: make test ARGS="-k intake -x".

SHELL := /bin/sh
# Compiled code is kept, whatever the machine says: without it each of the many processes compiles everything again.
unexport PYTHONDONTWRITEBYTECODE
PYTHON ?= python3
PY := .venv/bin/python
# What measures rates runs first and alone; with ARGS it is one run of what they choose.
SUITE = $(if $(ARGS),$(PY) -m pytest $(ARGS),$(PY) -m pytest -q -m alone tests/process && \
	$(PY) -m pytest -q -n 4 --dist worksteal -m "not alone")
ARGS ?=
ONCE ?=
QUICK ?=
# A server beside the embedded one that the suite must also pass on (the oldest supported is 15).
SYSTEM_PG ?= $(lastword $(sort $(wildcard /usr/lib/postgresql/1[5-9]/bin)))
# Settings as in production, made up for the checks that read the settings but need no database.
LIKE_PRODUCTION := ENV_FILE= DEBUG=0 DEMO=0 TRUSTED_PROXIES=1 PUBLIC_URL=https://connector.example \
	DATABASE_URL=postgresql://nobody@127.0.0.1:1/none FIELD_KEY=dGVzdHMgb25seSwgdGhpcnR5LXR3byBieXRlcyBsb24= \
	SECRET_KEY=0123456789-abcdefghijklmnopqrstuvwxyz-ABCDEFGHIJKLMNOPQRSTUVWXYZ

.PHONY: help setup run test fast coverage bench vendors format lint lock shell psql check check-system
.DEFAULT_GOAL := help

help: ## list the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 16

setup: ## make .venv (the other commands do it by themselves)
	@$(PYTHON) .ci/setup.py

.env:
	@cp .env.example .env && chmod 600 .env && echo "made .env from .env.example (a development system)"

run: setup .env ## start everything and play a campaign; ONCE=1 stops after it
	@$(PY) manage.py run $(if $(ONCE),--once) $(ARGS)

bench: setup ## measure /sms/send against its floor; QUICK=1 for a short one
	@$(PY) -m bench $(if $(QUICK),--quick) $(ARGS)

test: setup ## the test suite, on an embedded PostgreSQL or on DATABASE_URL
	@$(SUITE)

fast: setup ## the suite without real processes and without rates
	@$(PY) -m pytest -q -n 4 --dist worksteal -m "not process and not alone and not slow" $(ARGS)

coverage: setup ## what the fast suite covers, lines and branches: the total, and the files with least
	@$(PY) -m coverage erase
	$(PY) -m coverage run -m pytest -q -n 4 --dist worksteal -m "not process and not alone and not slow" \
		-W ignore::pytest.PytestUnraisableExceptionWarning $(ARGS)
	@$(PY) -m coverage combine -q
	@$(PY) -m coverage report --skip-covered --sort=cover | sed -n '1,27p;/^TOTAL/p'

shell: setup .env ## a Python shell with the project's models, on its database (make run serves it)
	@$(PY) manage.py shell $(ARGS)

psql: setup .env ## psql on that database; ARGS="-c 'select 1'"
	@$(PY) manage.py dbshell -- $(ARGS)

vendors: setup ## write the vendors' table into docs/vendors/README.md
	@$(LIKE_PRODUCTION) $(PY) manage.py vendors --write docs/vendors/README.md

format: setup ## put the code into its format, and mend what ruff can
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

lock: setup ## write requirements.lock: the exact versions, with hashes, for a deployment
	$(PY) -m uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-header --upgrade requirements.txt -o requirements.lock

lint: setup ## style, format, types, import contracts, migrations, deployment checks
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(LIKE_PRODUCTION) $(PY) -m mypy
	$(PY) -c "from importlinter.cli import lint_imports_command as c; c()"
	$(LIKE_PRODUCTION) $(PY) -W "ignore:Got an error checking a consistent" manage.py makemigrations --check --dry-run
	$(LIKE_PRODUCTION) EXTRA_APPS=dev $(PY) manage.py lint_migrations
	$(LIKE_PRODUCTION) $(PY) manage.py check --deploy --fail-level WARNING

check-system: setup
ifeq ($(SYSTEM_PG),)
	@echo "No PostgreSQL 15 or newer below /usr/lib/postgresql: the suite runs on the embedded server only."
else
	export TEST_PG_BIN=$(SYSTEM_PG) DATABASE_URL= && $(SUITE)
endif

check: lint check-system ## what CI runs: lint, then the tests on each PostgreSQL there is
	export DATABASE_URL= && $(SUITE)
