"""aiocoap as a CoAP client, over UDP or through a forward proxy on coap+ws.

Questions, each with "patience" in seconds:

    {"code": 3, "uri": "coap://...", "payload": hex}  one request
    {"observe": "coap://..."}                         the response to a registration
    {"next": true}                                    the next notification of it
    {"cancel": true}                                  its end
"""

import asyncio

import aiocoap
from aiocoap.proxy.client import ProxyForwarder

import contexts
import line


class Asker:
    def __init__(self, via):
        self.via = via
        self.observed = None  # the request that observes
        self.notifications = None

    async def answer(self, question):
        if "observe" in question:
            return await self.observe(question)
        if "next" in question:
            return await self.notifications.__anext__()
        if "cancel" in question:
            self.observed.observation.cancel()
            return aiocoap.Message(code=aiocoap.EMPTY)
        request = aiocoap.Message(
            code=aiocoap.Code(question["code"]),
            uri=question["uri"],
            payload=bytes.fromhex(question.get("payload", "")),
        )
        return await self.via.request(request).response

    async def observe(self, question):
        request = aiocoap.Message(code=aiocoap.GET, uri=question["observe"], observe=0)
        self.observed = self.via.request(request)
        self.notifications = self.observed.observation.__aiter__()
        return await self.observed.response


async def main(config):
    client = await aiocoap.Context.create_client_context(
        transports=["oscore", "simple6", "ws"]
    )
    context = contexts.make(config)
    if context is not None:
        client.client_credentials["*"] = context
    asker = Asker(
        ProxyForwarder(config["proxy"], client) if config.get("proxy") else client
    )
    line.hello()
    while (question := await line.read()) is not None:
        line.write(**await judged(asker, question))
    await client.shutdown()


async def judged(asker, question):
    try:
        response = await asyncio.wait_for(asker.answer(question), question["patience"])
    except Exception as e:  # an answer like any other: the suite judges it
        return {"error": f"{type(e).__name__}: {e}"}
    return {
        "code": int(response.code),
        "payload": response.payload.hex(),
        "mode": contexts.mode(response.remote),
    }
