# Needs Python 3.11 or newer with pip, and make; all else goes into .venv.
#   make run ARGS="--port 9000"      make test ARGS="-n0 -x tests/mail"      make run PYTHON=python3.13

PYTHON ?= python3
ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

# English is the language of the code and needs no catalogue.
LOCALES := fi
PO := $(wildcard newsletter/translations/*/LC_MESSAGES/*.po)
MO := $(PO:.po=.mo)
CODE := $(wildcard newsletter tests wsgi.py hatch_build.py .ci/*.py benchmarks/*.py docs/*.py)

.PHONY: help run test check screenshots lint types ladder translations templates migrations dependencies tidy \
	format messages pins audit build release clean
.DELETE_ON_ERROR:

help:
	@echo "make run        set up and start the newsletter (ARGS=... goes to 'newsletter run')"
	@echo "make test       the whole suite (ARGS=... goes to pytest)"
	@echo "make check      all that a machine can judge without running the suite"
	@echo "make format     let ruff format and mend what it can"
	@echo "make messages   bring the translation catalogues in step with the sentences in the code"
	@echo "make pins       write the pinned requirements (ARGS=--upgrade for newer ones)"
	@echo "make audit      ask whether a pinned package has a known vulnerability"
	@echo "make build      sdist and wheel in dist/, and the wheel tried in an environment of its own"
	@echo "make release    what build makes with checksums, and the version's tag"
	@echo "make screenshots  take the pictures of README anew"
	@echo "make clean      remove what make made; never instance/"

run: $(VENV)/.project $(MO)
	@$(BIN)/newsletter run $(ARGS)

test: $(VENV)/.dev $(VENV)/.project $(MO)
	@$(BIN)/pytest -n auto $(ARGS)

check: lint types ladder translations templates migrations dependencies tidy

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev $(VENV)/.project
	$(BIN)/mypy $(CODE)

ladder: $(VENV)/.dev $(VENV)/.project
	$(BIN)/lint-imports --no-logo

translations: $(VENV)/messages.pot
	$(BIN)/python .ci/check_translations.py $< newsletter/translations

templates: $(VENV)/.dev
	$(BIN)/djlint --quiet --lint templates

# In a database of its own: neither the one in instance/ nor one that the environment names.
migrations: $(VENV)/.dev $(VENV)/.project
	@echo "newsletter db upgrade; newsletter db check"; \
	unset NEWSLETTER_DATABASE_URL; \
	NEWSLETTER_INSTANCE_PATH=$$(mktemp -d) && export NEWSLETTER_INSTANCE_PATH && \
	trap 'rm -rf "$$NEWSLETTER_INSTANCE_PATH"' EXIT && \
	$(BIN)/newsletter db upgrade && $(BIN)/newsletter db check

dependencies: $(VENV)/.dev $(VENV)/.project
	$(BIN)/deptry .
	$(PIP) check

# The brackets keep the patterns from finding themselves.
REGISTRIES := (py[p]i|python[h]osted|npm[j]s)\.(org|com)|(deb|security|snapshot)\.debia[n]\.org
HOMES := (^|[^[:alnum:]_./-])/(home|root|work|Users)/[[:alnum:]]
tidy:
	@git rev-parse --git-dir >/dev/null 2>&1 || { echo "tidy: not done, this is no git checkout"; exit 0; }; \
	if git grep --untracked -InE '$(REGISTRIES)' -- . ':!newsletter/static/vendor'; then \
		echo "A file names a package registry's address." >&2; exit 1; fi; \
	if git grep --untracked -InE '$(HOMES)' -- .; then \
		echo "A file names a path of one developer's machine." >&2; exit 1; fi

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(VENV)/messages.pot: $(VENV)/.dev FORCE
	@$(BIN)/pybabel -q extract -F pyproject.toml -k lazy_gettext -k lazy_ngettext \
		--project newsletter --copyright-holder 'The newsletter authors' \
		--add-location file --sort-output --no-wrap -o $@ .
FORCE:

messages: $(VENV)/messages.pot
	@for locale in $(LOCALES); do $(BIN)/pybabel -q update -i $< -d newsletter/translations -l $$locale --init-missing \
		--no-fuzzy-matching --ignore-obsolete --ignore-pot-creation-date --no-wrap || exit 1; done

# Without the address of an index: every machine asks the one it is set up for.
COMPILE := $(BIN)/uv pip compile --quiet pyproject.toml --generate-hashes --universal --python-version 3.11 \
	--no-header --no-emit-index-url
pins: $(VENV)/.dev
	$(COMPILE) $(ARGS) --extra postgres --extra redis --extra build -o requirements.txt
	$(COMPILE) $(ARGS) --all-extras -c requirements.txt -o requirements-dev.txt

# Not part of check: its answer depends on the day, and one commit should get one verdict.
audit: $(VENV)/.dev
	@.ci/audit $(BIN)/pip-audit requirements-dev.txt

build: $(VENV)/.dev
	rm -rf dist
	$(BIN)/python -m build --no-isolation
	.ci/try_wheel $(BIN)/python dist/*.whl

# Files in dist/ with their checksums, and the tag; see CONTRIBUTING.md.
release: $(VENV)/.dev
	@.ci/release

# The pictures of README, taken of the real program on the demo's data.
screenshots: $(VENV)/.dev $(VENV)/.project $(MO)
	$(BIN)/python docs/screenshots.py

clean:
	rm -rf $(VENV) build dist __pycache__ .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache test-results
	rm -f $(MO)
	find newsletter tests migrations benchmarks .ci -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true

# --- the virtual environment; an empty file says that a step is done -------------------------------

# pip can work on an environment without pip, so Debian's missing ensurepip stops nobody.
# The first two packages come before the rest, which they install and build.
$(VENV)/.created:
	@command -v $(PYTHON) >/dev/null || { echo \
		"There is no $(PYTHON) here. Install Python 3.11 or newer, or name one: make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo \
		"$(PYTHON) is $$($(PYTHON) -V 2>&1); the newsletter needs 3.11 or newer. Name one: make PYTHON=python3.13" >&2; exit 1; }
	@$(PYTHON) -c 'import venv' 2>/dev/null || { echo \
		"$(PYTHON) lacks its venv module. Install it (on Debian: apt install python3-venv)." >&2; exit 1; }
	@$(PYTHON) -m venv --clear --without-pip $(VENV)
	@awk '/^(pip|setuptools)==/,!/\\$$/' requirements.txt > $(VENV)/first.txt
	@if $(PYTHON) -m pip --version >/dev/null 2>&1; then pip="$(PYTHON) -m pip --python $(BIN)/python"; \
	elif $(BIN)/python -m ensurepip >/dev/null 2>&1; then pip="$(BIN)/python -m pip"; \
	else echo "$(PYTHON) has neither pip nor ensurepip. Install one (on Debian: apt install python3-pip)." >&2; exit 1; fi; \
	$$pip install -qq --disable-pip-version-check --require-hashes -r $(VENV)/first.txt
	@touch $@

$(VENV)/.run: requirements.txt | $(VENV)/.created
	@echo "Installing what $< pins into $(VENV) ..."
	@$(PIP) install -qq --require-hashes --no-build-isolation -r $<
	@touch $@

$(VENV)/.dev: requirements-dev.txt $(VENV)/.run
	@echo "Installing what $< pins into $(VENV) ..."
	@$(PIP) install -qq --require-hashes --no-build-isolation -r $<
	@touch $@

# All it needs is pinned and installed; nothing more may be fetched.
$(VENV)/.project: pyproject.toml hatch_build.py $(VENV)/.run
	@$(PIP) install -qq --no-deps --no-build-isolation --no-index --editable .
	@touch $@

$(MO): %.mo: %.po | $(VENV)/.project
	@$(BIN)/pybabel -q compile -i $< -o $@
