# `make` runs the tests; everything works from the .venv that ./run-tests makes.
PY ?= .venv/bin/python

.PHONY: test test-slow fuzz lint format types golden bench demo docs texts rule venv
.DEFAULT_GOAL := test

venv:  # .venv with the project and its test tools
	@. ./.ci/venv.sh && prepare

test: venv  # quick tests
	$(PY) -m pytest -n auto -q -m 'not slow'

test-slow: venv  # only the slow ones
	$(PY) -m pytest -n auto -q -m slow

fuzz: venv  # all fuzz tests at full size; make fuzz OMS_FUZZ=1000 for less
	OMS_FUZZ=$(or $(OMS_FUZZ),10000) $(PY) -m pytest -n auto -q -m fuzz --durations=10

lint: venv
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

format: venv
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

types: venv
	$(PY) -m mypy

golden: venv  # write fixtures/*/expect anew and show the difference; make golden STORY=05_one_account for one
	$(PY) -m tests.golden --write $(STORY)
	@git --no-pager diff --stat -- fixtures || true

bench: venv  # 10⁴ and 10⁵ accounts, 10⁵ DBF records; make bench ACCOUNTS=1000000 RECORDS=1000000 for the big ones
	$(PY) -m tests.bench $(ACCOUNTS)
	$(PY) -m tests.bench.dbf $(RECORDS)
	$(PY) -m tests.bench.rules $(or $(ACCOUNTS),20000)
	$(PY) -m tests.bench.start

demo: venv
	$(PY) cli.py demo $(or $(DIR),demo-month)

docs: venv  # docs/cli.md from the commands themselves
	$(PY) -m tests.make_docs

texts: venv  # msgids of the source into the Russian catalogue; new ones come out empty
	$(PY) -m tests.make_texts

rule: venv  # make rule CODE=F.76.0100 NAME=what_is_wrong SET=yaroslavl/form
	$(PY) -m tests.make_rule "$(CODE)" "$(NAME)" "$(SET)"
