#!/usr/bin/env bash
# Every check that needs an accelerator, in under 8 minutes: the same specs on the accelerator and on the processor.
#
#   benchmarks/device.sh [DEVICE]        by default cuda; PYTHON=… takes another interpreter than .venv's
#
# Prints what was measured and fails where the two disagree. Nothing is written but a folder that is removed.
set -euo pipefail
cd "$(dirname "$0")/.."
exec "${PYTHON:-.venv/bin/python}" benchmarks/device.py "${1:-cuda}"
