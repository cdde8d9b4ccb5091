#!/usr/bin/env python3
"""Makes SAML responses with the distribution's xmlsec1 and openssl, sharing no code with the gateway.

    python3 tests/saml/vectors.py DIRECTORY

Each file's name begins with what the gateway must make of it: `good-`, or the reason of its refusal. The unit tests
read the committed ones in tests/saml/vectors; tests/saml/interop.py makes fresh ones. The identity provider's private
keys are thrown away; our own stays, because encrypted assertions need it.
"""
import base64
import subprocess
import sys
import tempfile
from datetime import datetime, timedelta, timezone
from pathlib import Path

NOW = 1_790_000_000
ISSUER = "https://acme.my.salesforce.com"
AUDIENCE = "https://wiki.example.com/.portcullis/saml/metadata"
ACS = "https://wiki.example.com/.portcullis/saml/acs"
ASKED = "_our-question"
USER = "0055g00000AbCdE"
ROLES = ["a &amp; b", "&lt;c>&#13;", "d&#10;\té😀"]
ASSERTION = "urn:oasis:names:tc:SAML:2.0:assertion"
PROTOCOL = "urn:oasis:names:tc:SAML:2.0:protocol"
MORE = "http://www.w3.org/2001/04/xmldsig-more#"
EXCLUSIVE = "http://www.w3.org/2001/10/xml-exc-c14n#"
SHA256 = "http://www.w3.org/2001/04/xmlenc#sha256"
XENC = "http://www.w3.org/2001/04/xmlenc#"
XENC11 = "http://www.w3.org/2009/xmlenc11#"


def at(offset):
    moment = datetime.fromtimestamp(NOW, timezone.utc) + timedelta(seconds=offset)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.123Z")


def run(*command, stdin=None):
    done = subprocess.run([str(part) for part in command], input=stdin, capture_output=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}\n{done.stderr.decode()}")
    return done.stdout


def template(reference, method, digest=SHA256, prefixes=""):
    """An empty signature, for xmlsec1 to fill."""
    listed = f'<ec:InclusiveNamespaces xmlns:ec="{EXCLUSIVE}" PrefixList="{prefixes}"/>' if prefixes else ""
    return (
        '<ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:SignedInfo>'
        f'<ds:CanonicalizationMethod Algorithm="{EXCLUSIVE}"/><ds:SignatureMethod Algorithm="{method}"/>'
        f'<ds:Reference URI="#{reference}"><ds:Transforms>'
        '<ds:Transform Algorithm="http://www.w3.org/2000/09/xmldsig#enveloped-signature"/>'
        f'<ds:Transform Algorithm="{EXCLUSIVE}">{listed}</ds:Transform></ds:Transforms>'
        f'<ds:DigestMethod Algorithm="{digest}"/><ds:DigestValue/></ds:Reference></ds:SignedInfo>'
        "<ds:SignatureValue/><ds:KeyInfo><ds:X509Data/></ds:KeyInfo></ds:Signature>"
    )


def attribute(name, *values):
    said = "".join(
        '<saml:AttributeValue xmlns:xs="http://www.w3.org/2001/XMLSchema" '
        f'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="xs:anyType">{value}</saml:AttributeValue>'
        for value in values
    )
    return f'<saml:Attribute Name="{name}">{said}</saml:Attribute>'


def assertion(signature="", declare=True):
    prefix = f' xmlns:saml="{ASSERTION}"' if declare else ""
    return f"""<saml:Assertion{prefix} ID="_assertion" Version="2.0" IssueInstant="{at(-1)}"><saml:Issuer>{ISSUER}</saml:Issuer>{signature}
  <saml:Subject><saml:NameID>ada@acme.example</saml:NameID>
    <saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer">
      <saml:SubjectConfirmationData InResponseTo="{ASKED}" NotOnOrAfter="{at(299)}" Recipient="{ACS}"/>
    </saml:SubjectConfirmation>
  </saml:Subject>
  <saml:Conditions NotBefore="{at(-31)}" NotOnOrAfter="{at(299)}"><saml:AudienceRestriction><saml:Audience>{AUDIENCE}</saml:Audience></saml:AudienceRestriction></saml:Conditions>
  <saml:AuthnStatement AuthnInstant="{at(-1)}"><saml:AuthnContext><saml:AuthnContextClassRef>urn:oasis:names:tc:SAML:2.0:ac:classes:unspecified</saml:AuthnContextClassRef></saml:AuthnContext></saml:AuthnStatement>
  <saml:AttributeStatement>{attribute("userId", USER)}{attribute("username", "ada@acme.example")}{attribute("email", "")}{attribute("is_portal_user", "false")}{attribute("roles", *ROLES)}</saml:AttributeStatement>
</saml:Assertion>"""


def response(inside, signature="", outer=""):
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<samlp:Response xmlns:samlp="{PROTOCOL}"{outer} ID="_response" Version="2.0" IssueInstant="{at(-1)}" Destination="{ACS}" InResponseTo="{ASKED}"><saml:Issuer xmlns:saml="{ASSERTION}" Format="urn:oasis:names:tc:SAML:2.0:nameid-format:entity">{ISSUER}</saml:Issuer>{signature}<samlp:Status><samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Success"/></samlp:Status>
{inside}</samlp:Response>
"""


class Maker:
    def __init__(self, directory, scratch):
        self.directory, self.scratch = Path(directory), Path(scratch)
        self.directory.mkdir(parents=True, exist_ok=True)
        for name, options in {
            "idp-rsa": ["-newkey", "rsa:2048"],
            "idp-p256": ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"],
            "idp-p384": ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384"],
            "sp": ["-newkey", "rsa:2048"],
        }.items():
            home = self.directory if name == "sp" else self.scratch
            run("openssl", "req", "-x509", "-nodes", "-days", "3650", "-sha256", "-subj", f"/O=Salesforce.com/CN={name}",
                *options, "-keyout", home / f"{name}.key.pem", "-out", self.directory / f"{name}.crt.pem")

    def save(self, name, text):
        (self.directory / f"{name}.xml").write_bytes(text if isinstance(text, bytes) else text.encode())

    def sign(self, text, parent, key="idp-rsa"):
        """Lets xmlsec1 fill the signature that is a child of `parent`."""
        work = self.scratch / "work.xml"
        work.write_bytes(text if isinstance(text, bytes) else text.encode())
        pair = f"{self.scratch / key}.key.pem,{self.directory / key}.crt.pem"
        return run("xmlsec1", "--sign", "--privkey-pem", pair, "--id-attr:ID", f"{ASSERTION}:Assertion",
                   "--id-attr:ID", f"{PROTOCOL}:Response", "--node-xpath",
                   f"//*[local-name()='{parent}']/*[local-name()='Signature']", work)

    def both(self, method, digest=SHA256, key="idp-rsa", inner="ds saml xs xsi", outer="ds saml samlp xs xsi"):
        text = response(assertion(template("_assertion", method, digest, inner)),
                        template("_response", method, digest, outer))
        return self.sign(self.sign(text, "Assertion", key), "Response", key)

    def plain(self):
        rsa = MORE + "rsa-sha256"
        self.save("good-both-prefix-lists", self.both(rsa))
        self.save("good-rsa-sha384", self.both(MORE + "rsa-sha384", MORE + "sha384"))
        self.save("good-rsa-sha512", self.both(MORE + "rsa-sha512", XENC + "sha512"))
        self.save("good-ecdsa-p256", self.both(MORE + "ecdsa-sha256", key="idp-p256"))
        self.save("good-ecdsa-p384", self.both(MORE + "ecdsa-sha384", MORE + "sha384", key="idp-p384"))
        self.save("good-response-only", self.sign(response(assertion(), template("_response", rsa)), "Response"))
        self.save("good-assertion-only", self.sign(response(assertion(template("_assertion", rsa))), "Assertion"))
        outer = f' xmlns:saml="{ASSERTION}" xmlns="urn:unused" xmlns:xs="urn:shadowed"'
        inside = assertion(template("_assertion", rsa, prefixes="#default xs saml"), declare=False)
        self.save("good-declared-outside", self.sign(response(inside, outer=outer), "Assertion"))
        sha1 = "http://www.w3.org/2000/09/xmldsig#"
        self.save("sha1-both", self.both(sha1 + "rsa-sha1", sha1 + "sha1"))
        self.save("sha1-digest", self.both(rsa, sha1 + "sha1"))
        inclusive = template("_assertion", rsa).replace(f'Transform Algorithm="{EXCLUSIVE}"',
                                                        'Transform Algorithm="http://www.w3.org/TR/2001/REC-xml-c14n-20010315"')
        self.save("shape-inclusive-canonical-xml", self.sign(response(assertion(inclusive)), "Assertion"))
        good = self.both(rsa).decode()
        self.save("digest-changed", good.replace(USER, "0055g00000Victi"))
        self.save("good-carriage-returns", self.carriage_returns(good))
        self.save("good-rsa-pss", self.pss())

    @staticmethod
    def carriage_returns(text):
        """Summer '22: `&#13;` at the end of each line of the signature's base64."""
        head, tail = text.split("<ds:SignatureValue>", 1)
        value, tail = tail.split("</ds:SignatureValue>", 1)
        return head + "<ds:SignatureValue>" + value.replace("\n", "&#13;\n") + "</ds:SignatureValue>" + tail

    def pss(self):
        """xmlsec1 of this age has no PSS: openssl signs what it canonicalized."""
        text = self.sign(response(assertion(template("_assertion", MORE + "rsa-sha256"))), "Assertion").decode()
        text = text.replace(MORE + "rsa-sha256", "http://www.w3.org/2007/05/xmldsig-more#sha256-rsa-MGF1")
        start, end = text.index("<ds:SignedInfo>"), text.index("</ds:SignedInfo>") + len("</ds:SignedInfo>")
        # Its own canonical form but for the namespace and the empty elements.
        alone = text[start:end].replace("<ds:SignedInfo>", '<ds:SignedInfo xmlns:ds="http://www.w3.org/2000/09/xmldsig#">')
        work = self.scratch / "signed-info.xml"
        work.write_text(alone)
        octets = run("xmllint", "--exc-c14n", work)
        signature = run("openssl", "dgst", "-sha256", "-sign", self.scratch / "idp-rsa.key.pem", "-sigopt",
                        "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:digest", stdin=octets.rstrip(b"\n"))
        head, tail = text.split("<ds:SignatureValue>", 1)
        return head + "<ds:SignatureValue>" + base64.b64encode(signature).decode() + "</ds:SignatureValue>" + tail.split("</ds:SignatureValue>", 1)[1]

    def encrypt(self, cipher, transport, text, session):
        """Lets xmlsec1 encrypt the assertion in `text` to our certificate."""
        method = f'<xenc:EncryptionMethod Algorithm="{transport}"/>'
        shell = (
            f'<xenc:EncryptedData xmlns:xenc="{XENC}" Type="{XENC}Element"><xenc:EncryptionMethod Algorithm="{cipher}"/>'
            '<ds:KeyInfo xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><xenc:EncryptedKey>' + method +
            "<ds:KeyInfo><ds:KeyName>sp</ds:KeyName></ds:KeyInfo>"
            "<xenc:CipherData><xenc:CipherValue/></xenc:CipherData></xenc:EncryptedKey></ds:KeyInfo>"
            "<xenc:CipherData><xenc:CipherValue/></xenc:CipherData></xenc:EncryptedData>"
        )
        (self.scratch / "shell.xml").write_text(shell)
        text = text.decode() if isinstance(text, bytes) else text
        start, end = text.index("<saml:Assertion"), text.index("</saml:Assertion>") + len("</saml:Assertion>")
        data = self.scratch / "data.xml"
        data.write_text(text[start:end])
        sealed = run("xmlsec1", "--encrypt", f"--pubkey-cert-pem:sp", self.directory / "sp.crt.pem", "--session-key",
                     session, "--xml-data", data, "--node-xpath", "/*", self.scratch / "shell.xml").decode()
        sealed = sealed.split("?>", 1)[1].strip()
        return f'{text[:start]}<saml:EncryptedAssertion xmlns:saml="{ASSERTION}">{sealed}</saml:EncryptedAssertion>{text[end:]}'

    def encrypted(self):
        rsa = MORE + "rsa-sha256"
        oaep = XENC + "rsa-oaep-mgf1p"
        inner = self.sign(response(assertion(template("_assertion", rsa))), "Assertion")
        inner = inner.decode()
        outer = inner.replace("</saml:Issuer><samlp:Status>", f"</saml:Issuer>{template('_response', rsa)}<samlp:Status>", 1)
        assert outer != inner
        for name, cipher, session, transport in [
            ("aes128-gcm", XENC11 + "aes128-gcm", "aes-128", oaep),
            ("aes256-gcm", XENC11 + "aes256-gcm", "aes-256", oaep),
            ("aes128-cbc", XENC + "aes128-cbc", "aes-128", oaep),
            ("aes256-cbc", XENC + "aes256-cbc", "aes-256", oaep),
            ("3des", XENC + "tripledes-cbc", "des-192", oaep),
            ("rsa15", XENC11 + "aes256-gcm", "aes-256", XENC + "rsa-1_5"),
        ]:
            readable = name.startswith("aes")
            alone = "good" if readable and name.endswith("gcm") else "undecryptable"
            self.save(f"{alone}-encrypted-{name}", self.encrypt(cipher, transport, inner, session))
            within = self.sign(self.encrypt(cipher, transport, outer, session), "Response")
            self.save(f"{'good' if readable else 'undecryptable'}-encrypted-within-signed-{name}", within)


def make(directory):
    with tempfile.TemporaryDirectory() as scratch:
        maker = Maker(directory, scratch)
        maker.plain()
        maker.encrypted()


if __name__ == "__main__":
    make(sys.argv[1])
