# Sourced by the other scripts: goes to the repository's root and activates its environment, making it if there is none.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

venv="${VENV:-.venv}"
stamp="$venv/.requirements.sha256"
wanted="$(sha256sum requirements.txt | cut -d ' ' -f 1)"
if [ ! -f "$stamp" ] || [ "$(cat "$stamp")" != "$wanted" ]; then
  echo "Installing the requirements into $venv (a few minutes, once)."
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check -r requirements.txt
  echo "$wanted" > "$stamp"
fi
# shellcheck disable=SC1091
source "$venv/bin/activate"
