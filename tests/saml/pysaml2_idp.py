#!/usr/bin/env python3
"""An identity provider that we did not write: pysaml2, which signs with the distribution's xmlsec1.

    pysaml2_idp.py FOLDER SP_METADATA_URL [CIPHER]

FOLDER holds idp.crt and the key to sign with, signer.key and signer.crt (others than idp.crt's: an impostor). The
provider's metadata is written to FOLDER/idp.xml and its address to standard output. It verifies requests by what the
service provider's metadata says, and signs Response and Assertion. CIPHER encrypts the Assertion: "des3", the only one
that pysaml2 uses by itself, or "aes256", which it is talked into. It ends with standard input.
"""
import functools
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

import saml2.entity
from saml2 import BINDING_HTTP_POST, BINDING_HTTP_REDIRECT
from saml2.authn_context import PASSWORD
from saml2.config import IdPConfig
from saml2.metadata import entity_descriptor
from saml2.saml import NAME_FORMAT_UNSPECIFIED, NAMEID_FORMAT_UNSPECIFIED, NameID
from saml2.server import Server
from saml2.sigver import CryptoBackendXmlSec1, pre_encryption_part, verify_redirect_signature
from saml2.xmldsig import DIGEST_SHA256, SIG_RSA_SHA256

ADA = {
    "userId": "0055g00000AbCdE",
    "username": "ada.lovelace@acme.example",
    "email": "ada@acme.example",
    "is_portal_user": "false",
}
SSO = "/idp/endpoint/HttpRedirect"
LOGOUT = "/services/auth/idp/saml2/logout"
AES256 = "http://www.w3.org/2001/04/xmlenc#aes256-cbc"


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
                "endpoints": {
                    "single_sign_on_service": [(issuer + SSO, BINDING_HTTP_REDIRECT)],
                    "single_logout_service": [(issuer + LOGOUT, BINDING_HTTP_REDIRECT)],
                },
                "want_authn_requests_signed": True,
                "policy": {"default": {"lifetime": {"minutes": 5}, "name_form": NAME_FORMAT_UNSPECIFIED}},
            }
        },
    }
    if key:
        config |= {"key_file": str(key), "metadata": {"inline": [sp_metadata]}}
    return IdPConfig().load(config)


def page(title, body):
    return f'<!doctype html><html lang="en"><title>{title}</title><link rel="icon" href="data:,">{body}'.encode()


def posting(title, button, action, fields):
    """A page that posts: pysaml2's own does so by itself; ours waits for the test's press of a button."""
    inputs = "".join(f'<input type="hidden" name="{name}" value="{html.escape(value)}">' for name, value in fields)
    action = html.escape(action)
    return page(title, f'<form method="post" action="{action}">{inputs}<button>{button}</button></form>')


def answer(idp, fields, encrypted):
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
        encrypt_assertion=encrypted,
        **place,
    )
    state = fields.get("RelayState", "")
    form = idp.apply_binding(BINDING_HTTP_POST, str(response), place["destination"], state, response=True)
    return posting("pysaml2", "Sign in as Ada", place["destination"], parse_form(form["data"]).items())


def verified(idp, fields, issuer):
    """Whether a key of the service provider's metadata signed the query (as pysaml2 writes it: without a space)."""
    certificates = idp.metadata.certs(issuer, "any", "signing")
    backend = idp.sec.sec_backend
    return any(verify_redirect_signature(dict(fields), backend, certificate) for _, certificate in certificates)


def follow_logout(idp, fields):
    """Signs out whom the service provider names, and says so by POST."""
    asked = idp.parse_logout_request(
        fields["SAMLRequest"],
        BINDING_HTTP_REDIRECT,
        relay_state=fields.get("RelayState"),
        sigalg=fields["SigAlg"],
        signature=fields["Signature"],
    ).message
    assert asked.name_id.text == ADA["username"], asked.name_id.text
    response = idp.create_logout_response(
        asked, [BINDING_HTTP_POST], sign=True, sign_alg=SIG_RSA_SHA256, digest_alg=DIGEST_SHA256
    )
    destination = idp.response_args(asked, [BINDING_HTTP_POST])["destination"]
    form = idp.apply_binding(BINDING_HTTP_POST, str(response), destination, "", response=True)
    return posting("pysaml2", "Go on signing out", destination, parse_form(form["data"]).items())


def begin_logout(idp, service_provider):
    """The address that asks the service provider to sign Ada out."""
    services = idp.metadata.single_logout_service(service_provider, BINDING_HTTP_REDIRECT, "spsso")
    destination = services[0]["location"]
    name_id = NameID(format=NAMEID_FORMAT_UNSPECIFIED, text=ADA["username"])
    _, request = idp.create_logout_request(destination, service_provider, name_id=name_id, sign=False)
    sent = idp.apply_binding(
        BINDING_HTTP_REDIRECT, str(request), destination, "there-and-back", sign=True, sigalg=SIG_RSA_SHA256
    )
    return dict(sent["headers"])["Location"]


def end_logout(idp, fields, service_provider):
    """What the service provider says of it."""
    assert verified(idp, fields, service_provider), "the answer is not signed by the service provider"
    assert fields["RelayState"] == "there-and-back", fields["RelayState"]
    said = idp.parse_logout_request_response(fields["SAMLResponse"], BINDING_HTTP_REDIRECT)
    assert said.status_ok(), said
    return page("pysaml2", "<p>Signed out everywhere</p>")


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
    cipher = sys.argv[3] if len(sys.argv) > 3 else None
    if cipher == "aes256":
        # Both are constants in pysaml2.
        saml2.entity.pre_encryption_part = functools.partial(pre_encryption_part, msg_enc=AES256)
        encrypt = CryptoBackendXmlSec1.encrypt_assertion
        CryptoBackendXmlSec1.encrypt_assertion = lambda self, statement, key, template, _, *rest: encrypt(
            self, statement, key, template, "aes-256", *rest
        )
    made = {}
    lock = threading.Lock()

    def act(path, fields):
        """The page or, as text, the address to go on to."""
        # The service provider starts after its identity provider.
        if "idp" not in made:
            with urllib.request.urlopen(sp_metadata) as response:
                known = response.read().decode()
            made["idp"] = Server(config=settings(folder, issuer, folder / "signer.crt", folder / "signer.key", known))
        idp = made["idp"]
        if path == SSO:
            return answer(idp, fields, cipher is not None)
        if "SAMLRequest" in fields:
            return follow_logout(idp, fields)
        if "SAMLResponse" in fields:
            return end_logout(idp, fields, sp_metadata)
        return begin_logout(idp, sp_metadata)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            address = urlsplit(self.path)
            if address.path not in (SSO, LOGOUT):
                self.send_error(404)
                return
            fields = {name: values[0] for name, values in parse_qs(address.query, keep_blank_values=True).items()}
            try:
                with lock:
                    onward = act(address.path, fields)
            except Exception as problem:  # the test shows what went wrong
                logging.exception("no answer")
                self.send_error(500, explain=repr(problem))
                return
            if isinstance(onward, str):
                self.send_response(302)
                self.send_header("location", onward)
                self.end_headers()
                return
            self.send_response(200)
            self.send_header("content-type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(onward)

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
