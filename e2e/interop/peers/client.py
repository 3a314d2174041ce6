"""aiocoap as a CoAP client, over UDP or through a forward proxy on coap+ws."""

import asyncio

import aiocoap
from aiocoap.proxy.client import ProxyForwarder

import contexts
import line


async def main(config):
    client = await aiocoap.Context.create_client_context(
        transports=["oscore", "simple6", "ws"]
    )
    context = contexts.make(config)
    if context is not None:
        client.client_credentials["*"] = context
    via = ProxyForwarder(config["proxy"], client) if config.get("proxy") else client
    line.hello()
    while (question := await line.read()) is not None:
        line.write(**await ask(via, question))
    await client.shutdown()


async def ask(via, question):
    request = aiocoap.Message(
        code=aiocoap.Code(question["code"]),
        uri=question["uri"],
        payload=bytes.fromhex(question.get("payload", "")),
    )
    try:
        answer = via.request(request).response
        response = await asyncio.wait_for(answer, question["patience"])
    except Exception as e:  # an answer like any other: the suite judges it
        return {"error": f"{type(e).__name__}: {e}"}
    return {
        "code": int(response.code),
        "payload": response.payload.hex(),
        "mode": contexts.mode(response.remote),
    }


line.run(main)
