#!/usr/bin/env bash
# Makes a Python environment below target/ from a list of pinned packages, unless it is there and of that very list:
#
#     bash tests/environment.sh NAME tests/FOLDER/requirements.txt
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

environment="target/$1"
if [[ ! -x "$environment/bin/python" ]] || ! cmp -s "$2" "$environment/requirements.txt"; then
    python3 -m venv "$environment"
    "$environment/bin/pip" install --quiet --disable-pip-version-check --requirement "$2"
    # Only what was installed to the end counts.
    cp "$2" "$environment/requirements.txt"
fi
