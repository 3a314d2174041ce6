"""aiocoap as a CoAP server on a UDP port and a coap+ws port of loopback, with one
lamp, /light.

With a security context the lamp obeys nobody else.
"""

import aiocoap
from aiocoap import credentials, oscore_sitewrapper, resource

import contexts
import line
import ports


class Light(resource.ObservableResource):
    def __init__(self, protected):
        super().__init__()
        self.state = b"off"
        self.protected = protected

    async def render_get(self, request):
        self.check(request)
        return aiocoap.Message(payload=self.state, content_format=0)

    async def render_put(self, request):
        self.check(request)
        self.state = request.payload
        self.updated_state()
        return aiocoap.Message(code=aiocoap.CHANGED)

    def check(self, request):
        if self.protected and contexts.mode(request.remote) == "plain":
            raise aiocoap.error.Unauthorized()


async def main(config):
    context = contexts.make(config)
    site = resource.Site()
    site.add_resource(["light"], Light(protected=context is not None))
    known = credentials.CredentialsMap()
    if context is not None:
        known[":suite"] = context
    server = await aiocoap.Context.create_server_context(
        oscore_sitewrapper.OscoreSiteWrapper(site, known),
        bind=("127.0.0.1", 0),
        # udp6, the default, would listen on all addresses as a client.
        transports=["oscore", "simplesocketserver", "ws"],
    )
    line.hello(udp=ports.udp(server), ws=ports.ws(server))
    await line.read()
    await server.shutdown()
