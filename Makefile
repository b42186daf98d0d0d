# make chat    talk to the embedded model        make test    run the tests
# make serve   serve the API on this machine     make lint    ruff and mypy
#
# All of them first do what `make setup` does: build .venv, and in it the environment that the code
# interpreter runs code in; install bubblewrap, which isolates it, where that may be done without
# asking. That takes minutes once, because llama.cpp is compiled, and nothing from then on.
# PYTHON=python3.12 chooses the interpreter;
# TORCH_INDEX=https://download.pytorch.org/whl/cpu avoids a CUDA build of torch on Linux.

VENV := .venv
READY := $(VENV)/.ready
PIP := $(VENV)/bin/python -m pip
PYTHON ?=
TORCH_INDEX ?=
ifeq ($(origin CXX),default)
CXX := c++
endif

# llama.cpp's AMX path crashes when gcc takes the tile configuration for a dead store and drops it
# (llama.cpp#20824); with that optimisation off, AMX works and prefill is nearly three times faster.
# localassist tries the build out before it relies on it, so another build is slower, not wrong.
ifeq ($(shell uname -sm),Linux x86_64)
ifeq (,$(findstring clang,$(shell $(CXX) --version 2>/dev/null)))
CMAKE_ARGS ?= -DCMAKE_CXX_FLAGS='-fno-dse -fno-tree-dse'
endif
endif
export CMAKE_ARGS

.DEFAULT_GOAL := help
.PHONY: help setup chat serve test lint clean rebuild-llama

help:
	@sed -n '1,8s/^# \{0,1\}//p' Makefile
	@echo "make clean   remove caches and build output    make rebuild-llama   compile llama.cpp anew"

setup: $(READY)

chat: $(READY)
	@$(VENV)/bin/localassist chat

serve: $(READY)
	@$(VENV)/bin/localassist serve

# Two at a time, since many wait for a process or a clock; those of one file stay together.
test: $(READY)
	$(VENV)/bin/pytest -n 2 --dist loadfile

lint: $(READY)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

clean:
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find localassist tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

# pip keeps the wheel it once built, whatever the flags were; this goes round that cache.
rebuild-llama: $(VENV)/bin/python
	@$(require_compiler)
	$(PIP) install -c constraints.txt --no-deps --force-reinstall --no-cache-dir llama-cpp-python

# The stamp is written last: an interrupted setup is taken up again by the next call.
$(READY): pyproject.toml constraints.txt sandbox/requirements.txt Makefile | $(VENV)/bin/python
	@$(require_compiler)
	@echo "localassist: installing into $(VENV); the first time takes some minutes (compiles llama.cpp)"
	$(PIP) install -c constraints.txt $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) torch
	$(PIP) install -c constraints.txt -e '.[dev]'
	@sh sandbox/install_bubblewrap.sh
	@$(VENV)/bin/localassist sandbox build || \
		echo "localassist: everything but the code interpreter works. Later: $(VENV)/bin/localassist sandbox build" >&2
	@touch $@
	@echo "localassist: ready. Try: make chat"

$(VENV)/bin/python:
	@for python in $(or $(PYTHON),python3 python3.13 python3.12 python3.11 python3.10); do \
		if $$python -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; \
		then \
			echo "localassist: creating $(VENV) with $$($$python --version)"; \
			exec $$python -m venv $(VENV); \
		fi; \
	done; \
	echo "localassist: needs Python 3.10 or newer with the venv module$(if $(PYTHON),; $(PYTHON) is not that)." >&2; \
	echo "  Debian, Ubuntu: sudo apt install python3 python3-venv" >&2; \
	echo "  Fedora:         sudo dnf install python3" >&2; \
	echo "  macOS:          brew install python" >&2; \
	exit 1

define require_compiler
command -v $(CXX) >/dev/null || { \
	echo "localassist: needs a C++ compiler to build llama.cpp, and $(CXX) is not there." >&2; \
	echo "  Debian, Ubuntu: sudo apt install build-essential" >&2; \
	echo "  Fedora:         sudo dnf install gcc-c++" >&2; \
	echo "  macOS:          xcode-select --install" >&2; \
	exit 1; }
endef
