"""aiocoap's forward proxy on a coap+ws port of loopback, towards UDP."""

import aiocoap

import faults
import line
import ports


async def main(config):
    out = await aiocoap.Context.create_client_context(transports=["simple6"])
    server = await aiocoap.Context.create_server_context(
        faults.ObservingProxy(out),
        bind=("127.0.0.1", 0),
        transports=["ws"],
    )
    line.hello(ws=ports.ws(server))
    await line.read()
    await server.shutdown()
    await out.shutdown()
