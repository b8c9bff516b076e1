# Two commands for users (`make demo`, `make test`) and the daily ones for developers.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
PIP = $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: demo install model test test-fast browser lint format screenshots bench clean

demo: install model
	$(BIN)/jupyter lab $$([ "$$(id -u)" = 0 ] && echo --allow-root) notebooks/quickstart.ipynb

# torch first and alone: constraints.txt names the build that was tested.
$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "saewidgets needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV)
	$(PIP) --constraint constraints.txt torch
	$(PIP) --constraint constraints.txt --editable ".[dev]"
	touch $@

install: $(VENV)/.installed

model: install
	$(BIN)/saewidgets fetch-demo

# Browser tests drive Debian's Chromium; it is installed where that is allowed, else named as missing.
browser:
	@command -v chromium >/dev/null || { \
	  if command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium >/dev/null; \
	  elif command -v apt-get >/dev/null && sudo -n true 2>/dev/null; then \
	    sudo apt-get update -qq && sudo DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium >/dev/null; \
	  else \
	    echo "The browser tests need the program 'chromium' on the PATH (Debian/Ubuntu: apt install chromium)." >&2; exit 1; \
	  fi; }

# A machine that others use too can starve a browser for half a minute: what failed is run once more, by itself, in a
# fresh process, and must pass there. Both runs are shown; a run that was cut short is not repaired in this way.
test: install model browser lint
	$(BIN)/python -m pytest --cache-clear || \
	  { [ $$? -eq 1 ] && echo "Once more, what failed:" && $(BIN)/python -m pytest --last-failed --last-failed-no-failures none; }

test-fast: install
	$(BIN)/python -m pytest -m "not slow"

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The README's pictures, from the real widget in a real JupyterLab.
screenshots: install model browser
	SAEWIDGETS_SCREENSHOTS=notebooks $(BIN)/python -m pytest tests/browser/test_demo.py -k screenshots

bench: install model browser
	$(BIN)/python benchmarks/heatmap.py
	$(BIN)/python benchmarks/paint.py

clean:
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache
