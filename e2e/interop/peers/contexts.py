"""aiocoap's security contexts from what the suite configures (hex strings)."""

import json
import pathlib

from aiocoap import oscore

CCM = oscore.algorithms["AES-CCM-16-64-128"]


class Proxied:
    """Fault of aiocoap 0.4.17: protecting a request drops Proxy-Scheme and
    Uri-Port, so that no proxy can forward it. Both are of Class U and belong
    outside (RFC 8613, Section 4.1.3.2)."""

    def _split_message(self, message, request_id):
        outer, plaintext = super()._split_message(message, request_id)
        if message.code.is_request():
            outer.opt.proxy_scheme = message.opt.proxy_scheme
            outer.opt.uri_port = message.opt.uri_port
        return outer, plaintext


class Plain(Proxied, oscore.FilesystemSecurityContext):
    """An OSCORE context."""


class Group(Proxied, oscore.SimpleGroupContext):
    """A Group OSCORE context. A server answers group requests in pairwise mode."""

    def pairwise_for(self, recipient_id):
        return Pairwise(self, recipient_id)


class Pairwise(Proxied, oscore._PairwiseContextAspect):
    """What a Group becomes towards one member."""


class GroupAnswering(Group):
    """Answers group requests in group mode. aiocoap has no setting for it, but
    asks the context of a request for the one of its response."""

    def get_oscore_context_for(self, unprotected):
        found = super().get_oscore_context_for(unprotected)
        if isinstance(found, oscore._GroupContextAspect):
            return _AnswersAsGroup(self, found.recipient_id)
        return found


class _AnswersAsGroup(oscore._GroupContextAspect):
    def context_for_response(self):
        return self.groupcontext


def make(config):
    """Returns the context that config asks for, None for unprotected CoAP."""
    if "oscore" in config:
        return _plain(config["oscore"])
    if "group" in config:
        return _group(config["group"])
    return None


def _plain(c):
    base = pathlib.Path(c["dir"])
    settings = {
        "algorithm": "AES-CCM-16-64-128",
        "secret_hex": c["secret"],
        "salt_hex": c["salt"],
        "sender-id_hex": c["id"],
        "recipient-id_hex": c["peer"],
    }
    if c.get("id_context"):
        settings["id-context_hex"] = c["id_context"]
    (base / "settings.json").write_text(json.dumps(settings))
    if c.get("window_lost"):
        state = {"next-to-send": 0, "received": "unknown"}
        (base / "sequence.json").write_text(json.dumps(state))
    return Plain(str(base))


def _group(c):
    kind = GroupAnswering if c.get("answer") == "group" else Group
    context = kind(
        alg_aead=CCM,
        hashfun=oscore.hashfunctions["sha256"],
        alg_signature=oscore.Ed25519(),
        alg_group_enc=CCM,
        alg_pairwise_key_agreement=oscore.EcdhSsHkdf256(),
        group_id=bytes.fromhex(c["gid"]),
        master_secret=bytes.fromhex(c["secret"]),
        master_salt=bytes.fromhex(c["salt"]),
        sender_id=bytes.fromhex(c["id"]),
        private_key=bytes.fromhex(c["key"]),
        sender_auth_cred=bytes.fromhex(c["cred"]),
        peers={bytes.fromhex(k): bytes.fromhex(v) for k, v in c["peers"].items()},
        group_manager_cred=bytes.fromhex(c["gm_cred"]),
    )
    return context.pairwise_for(bytes.fromhex(c["to"])) if c.get("to") else context


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
