"""Compares the gateway's SAML verifier with other people's: see interop.sh.

- canonical XML of random documents must be libxml2's, byte for byte (seed below: every run asks the same);
- fresh responses by xmlsec1 and openssl must be judged as their names say;
- what the gateway signs, xmlsec1 must call valid;
- whatever mutant of a signed response the gateway accepts, xmlsec1 must call valid, and it must name the same person.
"""
import difflib
import json
import random
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lxml import etree

import vectors

SEED = 3
DOCUMENTS = 1500
MUTANTS = 6000
JUDGE = sys.argv[1]


def ask(questions):
    done = subprocess.run([JUDGE], input=json.dumps(questions).encode(), capture_output=True, check=True)
    return json.loads(done.stdout)


# Canonical XML

PREFIXES = ["", "", "a", "b", "c", "ds", "xs"]
URIS = ["urn:1", "urn:2", "urn:3", "http://example.com/x?y=z"]
TEXTS = ["", " ", "\n", "x", "é", "😀", "&amp;", "&lt;", "&gt;", ">", "&#13;", "&#9;", "&#10;", "'", '"', "&quot;", "]]&gt;", "\t"]


def random_text(dice):
    return "".join(dice.choice(TEXTS) for _ in range(dice.randrange(4)))


def random_element(dice, scope, depth):
    scope = dict(scope)
    declared = {}
    for _ in range(dice.randrange(3)):
        prefix = dice.choice(PREFIXES)
        # Only the default can be taken back.
        declared[prefix] = dice.choice(URIS + ([""] if prefix == "" else []))
    scope.update(declared)
    usable = [prefix for prefix in scope if prefix] + [""]
    prefix = dice.choice(usable)
    name = (prefix + ":" if prefix else "") + dice.choice("efg")
    parts = [f'xmlns{":" if key else ""}{key}="{uri}"' for key, uri in declared.items()]
    seen = set()
    for _ in range(dice.randrange(4)):
        prefix = dice.choice(usable + ["xml"])
        local = dice.choice(["lang", "space"]) if prefix == "xml" else dice.choice("pqrP")
        full = (scope.get(prefix, prefix) if prefix else "", local)
        if full not in seen:
            seen.add(full)
            value = random_text(dice).replace('"', "&quot;") if prefix != "xml" else "default"
            parts.append(f'{prefix + ":" if prefix else ""}{local}="{value}"')
    dice.shuffle(parts)
    opening = " ".join([name, *parts])
    inside = ""
    if depth < 6:
        for _ in range(dice.randrange(4)):
            inside += random_text(dice) + random_element(dice, scope, depth + 1)
    inside += random_text(dice)
    return f"<{opening}>{inside}</{name}>" if inside or dice.random() < 0.5 else f"<{opening}/>"


def canonical_xml():
    # Without `#default`: lxml drops it from the list. The signatures below have it, and xmlsec1 knows it.
    dice = random.Random(SEED)
    questions, expected = [], []
    for _ in range(DOCUMENTS):
        xml = random_element(dice, {}, 0)
        tree = etree.fromstring(xml.encode())
        elements = [node for node in tree.iter() if isinstance(node.tag, str)]
        place = dice.randrange(len(elements))
        prefixes = dice.sample(["a", "b", "c", "ds", "xs", "nowhere"], dice.randrange(5)) if dice.random() < 0.6 else []
        questions.append({"do": "canonicalize", "xml": xml, "element": place, "prefixes": " ".join(prefixes)})
        expected.append(reference(elements[place], prefixes))
    different = 0
    for question, answer, wanted in zip(questions, ask(questions), expected):
        if answer != wanted:
            different += 1
            print("different:", json.dumps(question), "ours:", answer, "libxml2's:", wanted, sep="\n  ")
    assert not different, f"{different} of {DOCUMENTS} documents"
    print(f"canonical XML: {DOCUMENTS} documents alike")


def reference(element, prefixes):
    """libxml2's canonical form of an element, cut out of its document with the namespaces of its scope."""
    alone = etree.fromstring(etree.tostring(element, with_tail=False, encoding="UTF-8"))
    return etree.tostring(alone, method="c14n", exclusive=True, with_comments=False, inclusive_ns_prefixes=prefixes).decode()


# Signatures

def question(folder, xml, **more):
    read = lambda name: (Path(folder) / name).read_text()
    certificates = "".join(read(f"{name}.crt.pem") for name in ["idp-rsa", "idp-p256", "idp-p384"])
    return {"do": "consume", "xml": xml, "certificates": certificates, "key": read("sp.key.pem"),
            "certificate": read("sp.crt.pem"), "issuer": vectors.ISSUER, "audience": vectors.AUDIENCE,
            "acs": vectors.ACS, "asked": vectors.ASKED, "now": vectors.NOW, **more}


REASONS = {"undecryptable": "Undecryptable", "sha1": "SignatureSha1", "shape": "SignatureShape", "digest": "SignatureDigest"}


def fresh(folder):
    names = sorted(path.stem for path in Path(folder).glob("*.xml"))
    answers = ask([question(folder, (Path(folder) / f"{name}.xml").read_text()) for name in names])
    for name, answer in zip(names, answers):
        kind = name.split("-")[0]
        if kind == "good":
            assert answer.get("user", "")[:15] == vectors.USER and answer["name_id"] == "ada@acme.example", (name, answer)
        else:
            assert answer.get("error", "").startswith(REASONS[kind]), (name, answer)
    print(f"xmlsec1 and openssl signed: {len(names)} responses judged as they should be")


def valid(folder, xml, parent):
    """Whether xmlsec1 calls the signature that is a child of `parent` valid."""
    with tempfile.NamedTemporaryFile(dir=folder, suffix=".signed") as work:
        work.write(xml.encode())
        work.flush()
        done = subprocess.run(
            ["xmlsec1", "--verify", "--pubkey-cert-pem", Path(folder) / "idp-rsa.crt.pem", "--enabled-key-data", "key-name",
             "--id-attr:ID", f"{vectors.ASSERTION}:Assertion", "--id-attr:ID", f"{vectors.PROTOCOL}:Response",
             "--node-xpath", f"//*[local-name()='{parent}']/*[local-name()='Signature']", work.name],
            capture_output=True, check=False)
    return done.returncode == 0


def ours(folder, scratch):
    key = (Path(scratch) / "idp-rsa.key.pem").read_text()
    for prefixes in ["", "ds saml xs xsi", "#default saml"]:
        xml = vectors.response(vectors.assertion(), outer=' xmlns="urn:unused" xmlns:xs="urn:outer"')
        for parent, name in [("Assertion", "_assertion"), ("Response", "_response")]:
            [xml] = ask([{"do": "sign", "xml": xml, "id": name, "key": key, "prefixes": prefixes}])
            assert isinstance(xml, str), xml
            assert valid(folder, xml, parent), (prefixes, parent)
            assert not valid(folder, xml.replace(vectors.USER, "0055g00000Victi"), parent)
    print("the gateway signed: xmlsec1 calls it valid")


PIECES = ["", " ", "x", "<x/>", "&#13;", "\r\n", "\t", "&amp;", "saml:", ' x="y"', ' xmlns="urn:x"', ' xmlns:xs="urn:x"', "é",
          "</saml:Assertion>", "<saml:NameID>victim</saml:NameID>", ' ID="_x"', "'", '"']


def differing(good, mutant):
    """What to look at when xmlsec1 disagrees: each change with what stands around it."""
    changes = difflib.SequenceMatcher(None, good, mutant, autojunk=False).get_opcodes()
    return "xmlsec1 disagrees:\n" + "\n".join(
        f"  {good[max(start - 40, 0):start]!r}: {good[start:end]!r} became {mutant[begin:finish]!r}"
        for change, start, end, begin, finish in changes if change != "equal")


def mutants(folder):
    dice = random.Random(SEED)
    accepted = 0
    for name, parents in [("good-both-prefix-lists", ["Assertion", "Response"]), ("good-assertion-only", ["Assertion"]),
                          ("good-response-only", ["Response"])]:
        good = (Path(folder) / f"{name}.xml").read_text()
        made = set()
        while len(made) < MUTANTS // 3:
            mutant = good
            for _ in range(dice.randrange(1, 3)):
                start = dice.randrange(len(mutant))
                mutant = mutant[:start] + dice.choice(PIECES) + mutant[start + dice.choice([0, 0, 1, 2, 10]):]
            made.add(mutant)
        made = sorted(made)
        [first] = ask([question(folder, good)])
        answers = ask([question(folder, mutant) for mutant in made])
        taken = [mutant for mutant, answer in zip(made, answers) if "error" not in answer]
        assert all(answer == first for answer in answers if "error" not in answer)
        with ThreadPoolExecutor() as pool:
            agreed = list(pool.map(lambda mutant: all(valid(folder, mutant, parent) for parent in parents), taken))
        disagreed = [mutant for mutant, agrees in zip(taken, agreed) if not agrees]
        assert not disagreed, "\n".join(differing(good, mutant) for mutant in disagreed)
        accepted += len(taken)
    print(f"mutants: {accepted} of {MUTANTS} still good, and xmlsec1 agrees")


def main():
    canonical_xml()
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as scratch:
        maker = vectors.Maker(folder, scratch)
        maker.plain()
        maker.encrypted()
        fresh(folder)
        ours(folder, scratch)
        mutants(folder)


main()
