#!/usr/bin/env bash
# The gateway's SAML verifier against other people's: libxml2's canonical XML, xmlsec1's signatures, both ways.
#
# Needs xmlsec1, openssl, python3 and a package index for lxml; fails when one of them is missing. `tests/run` calls it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

for tool in xmlsec1 xmllint openssl python3 cargo; do
    command -v "$tool" >/dev/null || {
        printf 'tests/saml/interop.sh: %s is missing (apt-get install xmlsec1 libxml2-utils openssl python3-venv)\n' "$tool" >&2
        exit 1
    }
done
environment="target/saml-interop"
if [[ ! -x "$environment/bin/python" ]] || ! "$environment/bin/python" -c 'import lxml' 2>/dev/null; then
    python3 -m venv "$environment"
    "$environment/bin/pip" install --quiet --disable-pip-version-check 'lxml==6.1.3'
fi
cargo build --quiet --example saml_judge
PYTHONDONTWRITEBYTECODE=1 "$environment/bin/python" tests/saml/interop.py "${CARGO_TARGET_DIR:-target}/debug/examples/saml_judge"
