#!/usr/bin/env bash
# All tests but the slow ones. With arguments, pytest gets those instead: -m slow, -k vae, --cov, ...
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

if [ "$#" -eq 0 ]; then
  exec python -m pytest -n 2 --dist worksteal -m "not slow and not gpu"
fi
exec python -m pytest "$@"
