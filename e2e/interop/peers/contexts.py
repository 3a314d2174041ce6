"""aiocoap's security contexts from what the suite configures: bytes are hex
strings, algorithms their COSE numbers."""

import json
import pathlib

from aiocoap import oscore
from cryptography.hazmat.primitives.asymmetric import ec

import faults

ES256 = -7

NAMES = {alg.value: name for name, alg in oscore.algorithms.items()}


class Plain(faults.DropsProxyOptions, oscore.FilesystemSecurityContext):
    """An OSCORE context."""


class Group(faults.DropsProxyOptions, faults.NoSignatureKey, oscore.SimpleGroupContext):
    """A Group OSCORE context. A server answers group requests in pairwise mode."""

    own_piv = False

    def get_oscore_context_for(self, unprotected):
        return self.towards(super().get_oscore_context_for(unprotected))

    def context_from_response(self, unprotected):
        return self.towards(super().context_from_response(unprotected))

    def towards(self, found):
        """Makes of aiocoap's context for one member the suite's, without deriving
        its keys once more, which takes long."""
        if type(found) is oscore._GroupContextAspect:
            found.__class__ = Member
        if type(found) is oscore._PairwiseContextAspect:
            found.__class__ = Pairwise
        return found

    def pairwise_for(self, recipient_id):
        return Pairwise(self, recipient_id)


class OwnPIV:
    """Answers with a Partial IV of its own where its group is told so, as if the
    nonce of the request must not be used again."""

    def unprotect(self, message, request_id=None):
        opened, request_id = super().unprotect(message, request_id)
        if self.groupcontext.own_piv:
            request_id.can_reuse_nonce = False
        return opened, request_id


class Member(OwnPIV, faults.LongTag, faults.CannotGoOn, oscore._GroupContextAspect):
    """What a Group becomes for group-mode messages of one member."""


class Pairwise(OwnPIV, faults.DropsProxyOptions, oscore._PairwiseContextAspect):
    """What a Group becomes towards one member."""

    def context_from_response(self, unprotected):
        found = super().context_from_response(unprotected)
        return self.groupcontext.towards(found)


class GroupAnswering(Group):
    """Answers in group mode. aiocoap has no setting for it, but asks the context
    of a request for the one of its response."""

    def towards(self, found):
        found = super().towards(found)
        if found is not None:
            found.context_for_response = lambda: self
        return found


def make(config):
    """Returns the context that config asks for, None for unprotected CoAP."""
    if "oscore" in config:
        return _plain(config["oscore"])
    if "group" in config:
        return group(config["group"])
    return None


def _plain(c):
    base = pathlib.Path(c["dir"])
    settings = {
        "algorithm": NAMES[c["aead"]],
        "kdf-hashfun": c["hash"],
        "secret_hex": c["secret"],
        "salt_hex": c["salt"],
        "sender-id_hex": c["id"],
        "recipient-id_hex": c["peer"],
    }
    if c.get("id_context"):
        settings["id-context_hex"] = c["id_context"]
    (base / "settings.json").write_text(json.dumps(settings))
    window = {"index": 0, "bitfield": 0}
    state = {
        "next-to-send": c.get("next", 0),
        "received": "unknown" if c.get("window_lost") else window,
    }
    (base / "sequence.json").write_text(json.dumps(state))
    return Plain(str(base))


def group(c, kind=None):
    """Returns a group's context, or the pairwise one towards member c["to"]."""
    key, signature, agreement = _asymmetric(c)
    kind = kind or (GroupAnswering if c.get("answer") == "group" else Group)
    context = kind(
        alg_aead=_algorithm(c["aead"]) or faults.Unset(),
        hashfun=oscore.hashfunctions[c["hash"]],
        alg_signature=signature,
        alg_group_enc=_algorithm(c["group_enc"]),
        alg_pairwise_key_agreement=agreement,
        group_id=bytes.fromhex(c["gid"]),
        master_secret=bytes.fromhex(c["secret"]),
        master_salt=bytes.fromhex(c["salt"]),
        sender_id=bytes.fromhex(c["id"]),
        private_key=key,
        sender_auth_cred=bytes.fromhex(c["cred"]),
        peers={bytes.fromhex(k): bytes.fromhex(v) for k, v in c["peers"].items()},
        group_manager_cred=bytes.fromhex(c["gm_cred"]),
    )
    context.own_piv = c.get("own_piv", False)
    return context.pairwise_for(bytes.fromhex(c["to"])) if c.get("to") else context


def _algorithm(number):
    """Returns a symmetric algorithm, None for 0, which is none."""
    return oscore.algorithms[NAMES[number]] if number else None


def _asymmetric(c):
    """Returns the private key and the algorithms for signature and agreement."""
    key = bytes.fromhex(c["key"])
    if c["sign"] == ES256:
        scalar = int.from_bytes(key, "big")
        return (
            ec.derive_private_key(scalar, ec.SECP256R1()),
            oscore.ECDSA_SHA256_P256(),
            faults.AgreementOnP256() if c["pairwise"] else None,
        )
    agreement = {
        0: None,
        -27: oscore.EcdhSsHkdf256(),
        -28: faults.Agreement512(),
    }[c["pairwise"]]
    return key, oscore.Ed25519() if c["sign"] else faults.UnsetSignature(), agreement


def mode(remote):
    """Says how a message from remote was protected."""
    context = getattr(remote, "security_context", None)
    if context is None:
        return "plain"
    if isinstance(context, oscore._GroupContextAspect):
        return "group"
    if isinstance(context, oscore._PairwiseContextAspect):
        return "pairwise"
    return "oscore"
