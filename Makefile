# `make` alone lists what there is. Python 3.11 and make are all it needs; everything goes into .venv.
PORT ?= 8000
MINUTES ?= 10
SEED ?= 0
ARGS ?=
PYTHON := .venv/bin/python
export PORT

.DEFAULT_GOAL := help
.PHONY: help demo run test test-deep mutations lint types bench format venv-demo venv-dev env

help:
	@echo "make demo        the portal with local stand-ins of the apps and lifelike contacts, at http://127.0.0.1:$(PORT)"
	@echo "make run         the portal: web and worker, with your database (PORT=$(PORT); settings in .env)"
	@echo "make test        all tests on SQLite and, beside that, those that touch the database on PostgreSQL (ARGS='-k name')"
	@echo "make test-deep   more random histories of the engine (MINUTES=$(MINUTES) SEED=$(SEED))"
	@echo "make mutations   puts each deliberate bug into a copy of the code: the one test that it names has to fail"
	@echo "make lint        style, imports between the packages, forgotten migrations"
	@echo "make types       mypy --strict"
	@echo "make bench       what a sync costs, in figures"
	@echo "make format      put the code into the house's style"

demo: venv-demo env
	@exec $(PYTHON) manage.py demo

run: venv-demo env
	@exec $(PYTHON) manage.py run

test: venv-dev
	@exec $(PYTHON) scripts/test.py $(ARGS)

test-deep: venv-dev
	@MINUTES=$(MINUTES) SEED=$(SEED) exec $(PYTHON) -m pytest -m deep -s $(ARGS)

mutations: venv-dev
	@exec $(PYTHON) scripts/mutations.py $(ARGS)

lint: venv-dev
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/lint-imports
	DJANGO_SETTINGS_MODULE=tests.settings $(PYTHON) manage.py makemigrations --check --dry-run

types: venv-dev
	.venv/bin/mypy .

bench: venv-dev
	@exec $(PYTHON) -m benchmarks.run $(ARGS)

format: venv-dev
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

venv-demo:
	@sh scripts/venv.sh demo

venv-dev:
	@sh scripts/venv.sh dev

env: venv-demo
	@$(PYTHON) scripts/dotenv.py
