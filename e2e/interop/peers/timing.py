"""How long aiocoap takes to protect and unprotect requests, for make bench.

After the first line in, {}, each is one measurement:

    {"oscore" or "group": as for contexts.make, "rounds": 9,
     "plain": [requests that aiocoap protects, as CoAP datagrams in hex],
     "protected": [requests by the other side that it unprotects, likewise]}

A group with "to" is measured in pairwise mode, else in group mode. The line out
has medians over the rounds, in nanoseconds for one message:

    {"protect": 1, "unprotect": 1, "serve": 1, "made": [...], "opened": [...]}

unprotect has a context towards the sender at hand; serve looks it up for each
request, as aiocoap's server does, which for pairwise mode agrees on the key
again. Neither counts encoding or decoding a datagram, or storing numbers: the
contexts are in memory. made and opened are the first round's results, so that
the other side can check that the same work was done.

Each round has the same messages: numbers and Replay Windows start anew, also
because aiocoap crashes on a replay in a group.
"""

import gc
import statistics
import time

import aiocoap
from aiocoap import oscore
from aiocoap.message import Direction

import contexts
import line


SERVED = 8  # requests for "serve", which takes 15 ms for each in pairwise mode


class Memory(oscore.CanProtect, oscore.CanUnprotect, oscore.SecurityContextUtils):
    """An OSCORE context without a folder."""

    echo_recovery = None

    def __init__(self, c):
        self.alg_aead = oscore.algorithms[contexts.NAMES[c["aead"]]]
        self.hashfun = oscore.hashfunctions[c["hash"]]
        self.sender_id = bytes.fromhex(c["id"])
        self.recipient_id = bytes.fromhex(c["peer"])
        self.id_context = bytes.fromhex(c.get("id_context", "")) or None
        self.derive_keys(bytes.fromhex(c["salt"]), bytes.fromhex(c["secret"]))
        self.recipient_replay_window = oscore.ReplayWindow(32, lambda: None)

    def post_seqnoincrease(self):
        pass


class Bench:
    """One measurement."""

    def __init__(self, question):
        if "oscore" in question:
            self.sender = self.base = Memory(question["oscore"])
            self.windows = [self.base.recipient_replay_window]
        else:
            # Of the faults, none that costs time is stepped round.
            self.sender = contexts.group(question["group"], oscore.SimpleGroupContext)
            self.base = getattr(self.sender, "groupcontext", self.sender)
            self.windows = self.base.recipient_replay_windows.values()
        self.plain = [_message(m, Direction.OUTGOING) for m in question["plain"]]
        self.protected = [_message(m, Direction.INCOMING) for m in question["protected"]]
        self.rounds = question.get("rounds", 9)

    def renew(self):
        self.base.sender_sequence_number = 0
        for window in self.windows:
            window.initialize_empty()

    def protect(self):
        return [self.sender.protect(m)[0] for m in self.plain]

    def unprotect(self):
        return [self.opener.unprotect(m)[0] for m in self.protected]

    def serve(self):
        for m in self.protected[:SERVED]:
            self.context_for(m).unprotect(m)

    def context_for(self, m):
        return self.base.get_oscore_context_for(oscore.verify_start(m))

    def measure(self, work, count):
        times = []
        for _ in range(self.rounds):
            self.renew()
            gc.collect()
            begun = time.perf_counter_ns()
            work()
            times.append(time.perf_counter_ns() - begun)
        return statistics.median(times) / count

    def answer(self):
        result = {}
        self.renew()
        if self.plain:
            result["made"] = [_hex(m) for m in self.protect()]
            result["protect"] = self.measure(self.protect, len(self.plain))
        self.renew()
        if self.protected:
            count = len(self.protected)
            self.opener = self.context_for(self.protected[0])
            result["opened"] = [_hex(m) for m in self.unprotect()]
            result["unprotect"] = self.measure(self.unprotect, count)
            result["serve"] = self.measure(self.serve, min(count, SERVED))
        return result


def _message(datagram, direction):
    message = aiocoap.Message.decode(bytes.fromhex(datagram))
    message.direction = direction
    return message


def _hex(message):
    """Encodes what protect or unprotect returns, which has no transport yet."""
    message = message.copy(mtype=aiocoap.CON, mid=0, token=b"")
    message.direction = Direction.OUTGOING
    return message.encode().hex()


async def main(_):
    line.hello()
    while (question := await line.read()) is not None:
        line.write(**Bench(question).answer())


line.run(main)
