"""aiocoap's forward proxy on a coap+ws port of loopback, towards UDP."""

import aiocoap
from aiocoap.proxy.server import ForwardProxyWithPooledObservations

import line


async def main(config):
    out = await aiocoap.Context.create_client_context(transports=["simple6"])
    server = await aiocoap.Context.create_server_context(
        ForwardProxyWithPooledObservations(out),
        bind=("127.0.0.1", 0),
        transports=["ws"],
    )
    line.hello(ws=ws_port(server))
    await line.read()
    await server.shutdown()
    await out.shutdown()


def ws_port(server):
    """aiocoap binds to a free port but does not tell which one."""
    for interface in server.request_interfaces:
        for listener in getattr(interface.token_interface, "_servers", []):
            return listener.sockets[0].getsockname()[1]
    raise RuntimeError("no WebSocket listener")


line.run(main)
