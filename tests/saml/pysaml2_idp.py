#!/usr/bin/env python3
"""An identity provider that we did not write: pysaml2, which signs with the distribution's xmlsec1.

    pysaml2_idp.py FOLDER SP_METADATA_URL

FOLDER holds idp.crt and the key to sign with, signer.key and signer.crt (others than idp.crt's: an impostor). The
provider's metadata is written to FOLDER/idp.xml and its address to standard output. It verifies requests by what the
service provider's metadata says, and signs Response and Assertion. It ends with standard input.
"""
import html
import logging
import shutil
import sys
import threading
import urllib.request
from html.parser import HTMLParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from saml2 import BINDING_HTTP_POST, BINDING_HTTP_REDIRECT
from saml2.authn_context import PASSWORD
from saml2.config import IdPConfig
from saml2.metadata import entity_descriptor
from saml2.saml import NAME_FORMAT_UNSPECIFIED, NAMEID_FORMAT_UNSPECIFIED, NameID
from saml2.server import Server
from saml2.xmldsig import DIGEST_SHA256, SIG_RSA_SHA256

ADA = {
    "userId": "0055g00000AbCdE",
    "username": "ada.lovelace@acme.example",
    "email": "ada@acme.example",
    "is_portal_user": "false",
}
SSO = "/idp/endpoint/HttpRedirect"


def settings(folder, issuer, certificate, key=None, sp_metadata=None):
    maps = folder / "attributes"
    maps.mkdir(exist_ok=True)
    names = {name: name for name in ADA}
    (maps / "salesforce.py").write_text(
        f"MAP = {{'identifier': {NAME_FORMAT_UNSPECIFIED!r}, 'to': {names!r}, 'fro': {names!r}}}\n"
    )
    config = {
        "entityid": issuer,
        "xmlsec_binary": shutil.which("xmlsec1"),
        "cert_file": str(certificate),
        "attribute_map_dir": str(maps),
        "service": {
            "idp": {
                "endpoints": {"single_sign_on_service": [(issuer + SSO, BINDING_HTTP_REDIRECT)]},
                "want_authn_requests_signed": True,
                "policy": {"default": {"lifetime": {"minutes": 5}, "name_form": NAME_FORMAT_UNSPECIFIED}},
            }
        },
    }
    if key:
        config |= {"key_file": str(key), "metadata": {"inline": [sp_metadata]}}
    return IdPConfig().load(config)


def answer(idp, fields):
    """The page that posts the answer to a request."""
    asked = idp.parse_authn_request(
        fields["SAMLRequest"],
        BINDING_HTTP_REDIRECT,
        relay_state=fields.get("RelayState"),
        sigalg=fields["SigAlg"],
        signature=fields["Signature"],
    ).message
    place = idp.response_args(asked, [BINDING_HTTP_POST])
    place.pop("binding")
    place.pop("name_id_policy", None)
    response = idp.create_authn_response(
        ADA,
        name_id=NameID(format=NAMEID_FORMAT_UNSPECIFIED, text=ADA["username"]),
        authn={"class_ref": PASSWORD},
        sign_response=True,
        sign_assertion=True,
        sign_alg=SIG_RSA_SHA256,
        digest_alg=DIGEST_SHA256,
        **place,
    )
    state = fields.get("RelayState", "")
    form = idp.apply_binding(BINDING_HTTP_POST, str(response), place["destination"], state, response=True)
    # pysaml2's own page posts by itself; ours waits for the test's press of a button.
    values = parse_form(form["data"]).items()
    inputs = "".join(f'<input type="hidden" name="{name}" value="{html.escape(value)}">' for name, value in values)
    action = html.escape(place["destination"])
    return (
        '<!doctype html><html lang="en"><title>pysaml2</title><link rel="icon" href="data:,">'
        f'<form method="post" action="{action}">{inputs}<button>Sign in as Ada</button></form>'
    )


def parse_form(page):
    """The names and values of a page's inputs."""
    values = {}

    class Reader(HTMLParser):
        def handle_starttag(self, tag, attributes):
            attributes = dict(attributes)
            if tag == "input" and attributes.get("name"):
                values[attributes["name"]] = attributes.get("value") or ""

    Reader().feed(page)
    return values


def main():
    logging.basicConfig(level=logging.ERROR)
    folder, sp_metadata = Path(sys.argv[1]), sys.argv[2]
    made = {}
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            address = urlsplit(self.path)
            if address.path != SSO:
                self.send_error(404)
                return
            fields = {name: values[0] for name, values in parse_qs(address.query, keep_blank_values=True).items()}
            try:
                with lock:
                    # The service provider starts after its identity provider.
                    if "idp" not in made:
                        with urllib.request.urlopen(sp_metadata) as response:
                            known = response.read().decode()
                        made["idp"] = Server(
                            config=settings(folder, issuer, folder / "signer.crt", folder / "signer.key", known)
                        )
                    page = answer(made["idp"], fields).encode()
            except Exception as problem:  # the test shows what went wrong
                logging.exception("no answer")
                self.send_error(500, explain=repr(problem))
                return
            self.send_response(200)
            self.send_header("content-type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    issuer = f"http://127.0.0.1:{server.server_port}"
    (folder / "idp.xml").write_text(str(entity_descriptor(settings(folder, issuer, folder / "idp.crt"))))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(issuer, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
