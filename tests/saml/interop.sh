#!/usr/bin/env bash
# The gateway's SAML verifier against other people's: libxml2's canonical XML, xmlsec1's signatures, both ways.
#
# Needs xmlsec1, openssl, python3 and a package index for lxml and pysaml2; fails when one of them is missing.
# `tests/run` calls it; the browser tests use pysaml2 from the environment that is made here.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

for tool in xmlsec1 xmllint openssl python3 cargo; do
    command -v "$tool" >/dev/null || {
        printf 'tests/saml/interop.sh: %s is missing (apt-get install xmlsec1 libxml2-utils openssl python3-venv)\n' "$tool" >&2
        exit 1
    }
done
bash tests/environment.sh saml-interop tests/saml/requirements.txt
cargo build --locked --quiet --example saml_judge
PYTHONDONTWRITEBYTECODE=1 target/saml-interop/bin/python tests/saml/interop.py "${CARGO_TARGET_DIR:-target}/debug/examples/saml_judge"
