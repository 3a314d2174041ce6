"""Faults and lacks of aiocoap 0.4.17 that the suite steps round, one class each.

Each changes aiocoap, so that our side stays as the documents have it. The table
in ../README.md lists them all, with those that need no class.
"""

import copy

from aiocoap import oscore
from aiocoap.message import Direction
from aiocoap.proxy.server import ForwardProxyWithPooledObservations


class DropsProxyOptions:
    """Protecting a request drops Proxy-Scheme and Uri-Port, so that no proxy can
    forward it. Both are of Class U and belong outside. RFC 8613, Section
    4.1.3.2."""

    def _split_message(self, message, request_id):
        outer, plaintext = super()._split_message(message, request_id)
        if message.code.is_request():
            outer.opt.proxy_scheme = message.opt.proxy_scheme
            outer.opt.uri_port = message.opt.uri_port
        return outer, plaintext


class AgreementOnP256(oscore.ECDSA_SHA256_P256):
    """The key agreement on P-256 is named in the external_aad by the number of
    ES256, -7, in place of ECDH-SS + HKDF-256. RFC 10021, Section 2.1.10."""

    value = -27


class Agreement512(oscore.EcdhSsHkdf256):
    """ECDH-SS + HKDF-512 is missing; it differs from HKDF-256 by its number and
    the hash function. RFC 10021, Section 2.1.10."""

    value = -28


class LongTag:
    """The shortest ciphertext is measured by the tag of the AEAD Algorithm also
    in group mode, where the Group Encryption Algorithm made it: short messages
    are refused when its tag is the shorter one. oscore.py, "Ciphertext too
    short"."""

    @property
    def alg_aead(self):
        alg = copy.copy(super().alg_aead)
        alg.tag_bytes = self.alg_group_enc.tag_bytes
        return alg


class CannotGoOn:
    """After an answer in group mode the next block is asked for under the context
    of the answer, which cannot protect."""

    def protect(self, message, request_id=None, *, kid_context=True):
        return self.groupcontext.protect(message, request_id, kid_context=kid_context)

    def context_from_response(self, unprotected):
        return self.groupcontext.context_from_response(unprotected)


class Unset:
    """An algorithm that the group has not set fails an assertion or an attribute
    in several places. This one stands as null in the external_aad, as it should,
    and has the attributes. RFC 10021, Section 3.4."""

    value = None
    iv_bytes = tag_bytes = 0


class UnsetSignature(oscore.Ed25519):
    """The same for the Signature Algorithm, which aiocoap also has read the
    credentials."""

    def from_kccs(self, ccs):
        return oscore.Ed25519().from_kccs(ccs)

    value = None


class NoSignatureKey:
    """Without a Group Encryption Algorithm deriving the Signature Encryption Key
    fails an assertion; such a group has none. RFC 10021, Section 2.1.9."""

    def _kdf(self, salt, ikm, role_id, out_type, key_alg=None):
        if out_type == "SEKey" and self.alg_group_enc is None:
            return None
        return super()._kdf(salt, ikm, role_id, out_type, key_alg)


class ObservingProxy(ForwardProxyWithPooledObservations):
    """The forward proxy sends a registration on as a message that came in, and a
    notification as well, which fails an assertion."""

    def _get_observation_for(self, request):
        request = request.copy()
        request.direction = Direction.OUTGOING
        return super()._get_observation_for(request)

    async def render(self, request):
        response = await super().render(request)
        response.direction = Direction.OUTGOING
        return response
