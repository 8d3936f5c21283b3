#!/usr/bin/env bash
# All tests but the slow ones, with the coverage of src/. Any pytest argument can be appended: -m slow, -k vae, ...
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

if [ "$#" -eq 0 ]; then
  exec python -m pytest -n 2 --dist worksteal -m "not slow and not gpu" --cov --cov-report=term:skip-covered --cov-fail-under=85
fi
exec python -m pytest "$@"
