"""SUIT envelopes by other means than ours: cbor2 takes them apart, pycose verifies
and makes the signatures. One question a line, JSON as in line.py, until the end:

  {"take": hex, "key": {...}}   what stands in an envelope, and whether all is right
  {"make": {...}, "key": {...}} an envelope with a manifest of this kind
"""

import hashlib
import importlib.metadata
import json
import sys

import cbor2
from pycose import algorithms
from pycose.headers import Algorithm, KID
from pycose.keys import EC2Key, OKPKey
from pycose.messages import Sign1Message

SECTIONS = (7, 8, 9, 16, 20)
SEVERABLE = (16, 20, 23)


# RFC 9864: pycose has the algorithms and not these numbers of theirs.
@algorithms.CoseAlgorithm.register_attribute()
class Esp256(algorithms.Es256):
    identifier = -9
    fullname = "ESP256"


@algorithms.CoseAlgorithm.register_attribute()
class Ed25519(algorithms.EdDSA):
    identifier = -19
    fullname = "ED25519"


ALGORITHMS = {-7: algorithms.Es256, -8: algorithms.EdDSA, -9: Esp256, -19: Ed25519}


def key_of(given):
    parts = {name: bytes.fromhex(value) for name, value in given.items()}
    if "y" in parts:
        return EC2Key(crv="P_256", **parts)
    return OKPKey(crv="ED25519", **parts)


def wrapped(element):
    """The digest of an element in its byte string."""
    return hashlib.sha256(cbor2.dumps(element)).digest()


class Reader:
    """Decodes, and notes whether all was in deterministic encoding."""

    def __init__(self):
        self.deterministic = True

    def load(self, data):
        value = cbor2.loads(data)
        if cbor2.dumps(value, canonical=True) != data:
            self.deterministic = False
        return value


def parameters(read, given):
    out = {}
    for label, value in given.items():
        if label == 3:
            algorithm, digest = read.load(value)
            assert algorithm == -16
            value = digest
        out[str(label)] = value.hex() if isinstance(value, bytes) else value
    return out


def sequence(read, data):
    items = read.load(data)
    out = []
    for code, argument in zip(items[::2], items[1::2], strict=True):
        if code == 20:
            argument = parameters(read, argument)
        elif code == 15:
            argument = [sequence(read, one) for one in argument]
        out.append([code, argument])
    return out


def texts(read, data, components):
    out = {}
    for language, text in read.load(data).items():
        about = [{} for _ in components]
        own = {}
        for label, value in text.items():
            if isinstance(label, int):
                own[str(label)] = value
            else:
                about[components.index(list(label))] = {str(k): v for k, v in value.items()}
        out[language] = {"own": own, "components": about}
    return out


def take(data, key):
    read = Reader()
    envelope = read.load(data)
    assert envelope.tag == 107
    envelope = dict(envelope.value)
    blocks = read.load(envelope.pop(2))
    manifest_bytes = envelope.pop(3)
    algorithm, digest = read.load(blocks[0])
    manifest = read.load(manifest_bytes)
    common = read.load(manifest[3])
    components = [list(one) for one in common[2]]
    right = algorithm == -16 and digest == wrapped(manifest_bytes) and manifest[1] == 1
    severed = {}
    for label in SEVERABLE:
        if isinstance(manifest.get(label), (list, tuple)):
            severed[str(label)] = manifest[label][1].hex()
            if label in envelope:
                manifest[label] = envelope.pop(label)
                right = right and wrapped(manifest[label]).hex() == severed[str(label)]
            else:
                del manifest[label]
    signatures, verified = [], []
    for block in blocks[1:]:
        # Below a tag cbor2 gives tuples and frozen maps, which decode refuses.
        assert read.load(block).tag == Sign1Message.cbor_tag and block[0] == 0xC0 | Sign1Message.cbor_tag
        message = Sign1Message.from_cose_obj(cbor2.loads(block[1:]), False)
        message.key = key
        kid = message.phdr.get(KID)
        signatures.append({
            "alg": message.phdr[Algorithm].identifier,
            "kid": kid.hex() if kid is not None else "",
            "bytes": message.signature.hex(),
        })
        verified.append(bool(message.verify_signature(detached_payload=blocks[0])))
    return {
        "right": right, "verified": verified, "deterministic": read.deterministic, "structure": {
            "digest": digest.hex(),
            "signatures": signatures,
            "sequence": manifest[2],
            "uri": manifest.get(4, ""),
            "components": [[part.hex() for part in one] for one in components],
            "shared": sequence(read, common[4]) if 4 in common else [],
            "sections": {str(label): sequence(read, manifest[label]) for label in SECTIONS if label in manifest},
            "severed": severed,
            "text": texts(read, manifest[23], components) if 23 in manifest else {},
            "integrated": {name: hashlib.sha256(payload).hexdigest() for name, payload in envelope.items()},
        },
    }


def digest_of(element):
    return [-16, wrapped(element)]


def make(given, key):
    """An envelope of one image, with install and text severed."""
    image = bytes.fromhex(given["image"])
    dumps = lambda value: cbor2.dumps(value, canonical=True)
    install = dumps([20, {21: "#app"}, 21, 2, 3, 15])
    text = dumps({"de": {2: given["text"], (b"\x00",): {6: given["version"]}}})
    manifest = dumps({
        1: 1,
        2: given["sequence"],
        3: dumps({2: [[b"\x00"]], 4: dumps([
            20, {1: bytes.fromhex(given["vendor"]), 2: bytes.fromhex(given["class"]),
                 3: dumps([-16, hashlib.sha256(image).digest()]), 14: len(image)},
            1, 15, 2, 15])}),
        7: dumps([3, 15]),
        9: dumps([23, 2]),
        20: digest_of(install),
        23: digest_of(text),
    })
    payload = dumps(digest_of(manifest))
    message = Sign1Message(phdr={Algorithm: ALGORITHMS[given["alg"]], KID: b"it"})
    message.key = key
    block = message.encode(detached_payload=payload)
    return {"envelope": dumps(cbor2.CBORTag(107, {2: dumps([payload, block]), 3: manifest, 20: install, 23: text, "#app": image})).hex()}


def answer(question):
    if "take" in question:
        return take(bytes.fromhex(question["take"]), key_of(question["key"]))
    if "make" in question:
        return make(question["make"], key_of(question["key"]))
    return {"version": "pycose " + importlib.metadata.version("pycose") + ", cbor2 " + importlib.metadata.version("cbor2")}


for line in sys.stdin:
    try:
        said = answer(json.loads(line))
    except Exception as e:  # what it cannot read, it says
        said = {"error": f"{type(e).__name__}: {e}"}
    print(json.dumps(said), flush=True)
