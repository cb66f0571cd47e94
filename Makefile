# make run    the main job on this machine: attested VAT lookups, verified, readable
# make test   lint, types and tests; the long suites have targets of their own
# Everything else is listed by `make help`. Needs make and Python 3.11 or later; the rest installs itself into .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LIVE ?=
SERVICE ?= vies
RELEASE ?=
SECONDS ?= 60
MINUTES ?= 2
TARGET ?=

.PHONY: run serve test lint types unit verifier-alone web promtool faults page openapi fuzz fuzz-nightly nightly bench load dev requirements clean help
.PHONY: deploy-check deploy-tools malice secrets audit sbom wheel
.PHONY: base image release-image verify-image parent-image booted e2e soak endurance

run: $(VENV)/ready
	$(BIN)/python -m devstack run $(if $(LIVE),--live)

serve: $(VENV)/ready
	$(BIN)/python -m devstack serve $(if $(LIVE),--live)

test: lint types unit

lint: $(VENV)/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/ready
	$(BIN)/mypy

unit: $(VENV)/ready
	$(BIN)/pytest

verifier-alone: $(VENV)/ready
	.ci/verifier-alone

web: $(VENV)/ready
	command -v chromium >/dev/null && command -v chromedriver >/dev/null || .ci/install chromium chromium-driver
	$(BIN)/pytest tests/web

promtool: $(VENV)/ready
	.ci/promtool
	$(BIN)/pytest tests/promtool

page: $(VENV)/ready
	$(BIN)/python -m devstack.page

# Every row of tests/faults/matrix.toml: broken in a running system, and held to what it promises. Three minutes.
faults: $(VENV)/ready
	$(BIN)/pytest -rs tests/faults

openapi: $(VENV)/ready
	$(BIN)/python -m devstack.openapi

# Every lie of a malicious parent to every client; `make test` tells a part of them. Some ten minutes.
malice: $(VENV)/ready
	MALICE=whole $(BIN)/pytest tests/test_malicious_parent.py

# A secret in every input and in settings, looked for in everything that comes out. A minute.
secrets: $(VENV)/ready
	$(BIN)/pytest -rs tests/planted

audit: $(VENV)/ready
	.ci/audit $(if $(REQUIRED),--required)

sbom: $(VENV)/ready
	.ci/sbom

wheel: $(VENV)/ready
	.ci/reproducible-wheel

fuzz:
	.ci/fuzz $(SECONDS) $(TARGET)

nightly: malice fuzz-nightly
	$(MAKE) endurance MINUTES=30

fuzz-nightly:
	.ci/fuzz 600 $(TARGET)

# Mixed load while enclaves, gunicorn, relays and upstreams are killed, hung and replaced; each answer is verified.
endurance: $(VENV)/ready
	$(BIN)/python -m devstack.endurance --minutes $(MINUTES)

bench: $(VENV)/ready
	$(BIN)/python -m bench

# Attacks on the whole system while honest callers work, and what goodput, memory and recovery are meanwhile.
load: $(VENV)/ready
	$(BIN)/python -m bench.siege $(ATTACKS) $(if $(filter command% environment%,$(origin SECONDS)),--seconds $(SECONDS))

# What a deployment is rendered to, before the checkers of each format, and what it publishes, before a stand-in of AWS.
deploy-check: $(VENV)-deploy/ready
	command -v curl >/dev/null || .ci/install curl
	command -v systemd-analyze >/dev/null || .ci/install systemd || echo "UNIT FILES ARE NOT VERIFIED: no systemd" >&2
	$(VENV)-deploy/bin/pytest -rs tests/rendered

deploy-tools: $(VENV)-deploy/ready
	@echo "Ready. Activate it with: . $(VENV)-deploy/bin/activate"

# Images. They need root; buildah and debootstrap install themselves. The kernel: eif/image says where it is looked for.
base:
	eif/base

image:
	eif/image $(SERVICE) build/images/$(SERVICE)
	cat build/images/$(SERVICE)/measurements.json

release-image:
	eif/image --release $(SERVICE) build/images/$(SERVICE)

verify-image:
	eif/verify $(SERVICE) $(RELEASE)

parent-image:
	eif/parent build/images/parent.tar

# These need the emulated Nitro host in ../shared/nitro-qemu or $$NITRO_QEMU; they say so, and pass, where there is none.
# `make e2e soak` makes the images once for both.
booted:
	[ ! -e "$${NITRO_QEMU:-../shared/nitro-qemu}/nitro_host.py" ] || eif/image vies build/images/vies
	[ ! -e "$${NITRO_QEMU:-../shared/nitro-qemu}/nitro_host.py" ] || eif/parent build/images/parent.tar

e2e: $(VENV)/ready booted
	$(BIN)/pytest -rs tests/e2e

soak: $(VENV)/ready booted
	$(BIN)/pytest -rs tests/e2e/soak.py

dev: $(VENV)/ready
	@echo "Ready. Activate it with: . $(BIN)/activate"

# Pins every dependency anew, with hashes, for all platforms. Needs uv.
requirements:
	for name in parent tracing postgresql enclave dev deploy fuzz audit; do \
	  uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-emit-index-url \
	    --no-annotate --no-header requirements/$$name.in --output-file requirements/$$name.txt || exit 1; \
	done

# A .venv that is a link belongs to another checkout: clearing it here would empty it there.
$(VENV)/ready: requirements/dev.txt
	[ ! -L $(VENV) ] || { echo "$(VENV) is a link: make it anew where it belongs, or remove the link" >&2; exit 1; }
	$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or later is needed")'
	$(PYTHON) -c 'import ensurepip' 2>/dev/null || .ci/install python3-venv
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements/dev.txt
	touch $@

$(VENV)-deploy/ready: requirements/deploy.txt
	$(PYTHON) -c 'import ensurepip' 2>/dev/null || .ci/install python3-venv
	$(PYTHON) -m venv --clear $(VENV)-deploy
	$(VENV)-deploy/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements/deploy.txt
	touch $@

clean:
	rm -rf $(VENV) $(VENV)-audit $(VENV)-deploy $(VENV)-fuzz build .mypy_cache .pytest_cache .ruff_cache .hypothesis

help:
	@sed -n 's/^# //p' Makefile | head -3
	@echo "make serve  the same stack, left running, with a curl line that works"
	@echo "make bench  figures, as ratios against named peers in the same run, with plots (12 minutes)"
	@echo "            .venv/bin/python -m bench c d   single ones;  j   an image's size and boot time"
	@echo "make load   slow, idle, silent and too many callers, before real gunicorn and workers (6 minutes; SECONDS=100, ATTACKS='heads idle')"
	@echo "make lint | types | unit   the parts of make test"
	@echo "make verifier-alone   the verifier's tests against its wheel, without source and network"
	@echo "make web    the verifier's page and the parent's status page in headless Chromium"
	@echo "make promtool   metrics, alerts and dashboard before Prometheus' own checker"
	@echo "make faults     what is broken, when, and what is promised of it: every row in a running system (three minutes);"
	@echo "            .venv/bin/pytest tests/faults -k ID   one;  .venv/bin/python -m tests.faults   the table in SECURITY.md"
	@echo "make page   the verifier's schemas and parameters into its page, after a new one in tytle_verifier/schemas.py or parameters.py"
	@echo "make openapi   app/openapi.json from devstack/openapi/, after a change there"
	@echo "make malice a malicious parent's every lie to every client (ten minutes)"
	@echo "make secrets   secrets planted in every input, looked for in logs, metrics, traces, errors, files and core dumps (a minute)"
	@echo "make audit  known vulnerabilities of what is pinned;  make sbom   bills of materials, CycloneDX;  make wheel   the verifier's wheel, twice the same"
	@echo "make fuzz   coverage-guided fuzzing, SECONDS=60 for each target, or for TARGET=urls alone;  make fuzz-nightly   600"
	@echo "make nightly   all that is long: malice, ten minutes of each fuzz target, half an hour of endurance"
	@echo "make deploy-check   units, CloudFormation and Kubernetes as rendered, each before its checker;  make deploy-tools"
	@echo "make dev    set up .venv only;  make clean   remove what was made"
	@echo "make image | verify-image SERVICE=vies   an enclave image; twice, compared byte for byte (needs root)"
	@echo "make e2e    the images booted in an emulated Nitro host, one machine and two"
	@echo "make soak   2,000 requests through both machines, and what they leave behind in the worker (3 to 4 minutes)"
	@echo "make endurance MINUTES=30   mixed load while parts are killed, hung and replaced, each answer verified (2 minutes)"
	@echo "LIVE=1      with run or serve: ask the real upstreams"
