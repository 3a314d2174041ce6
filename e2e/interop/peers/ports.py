"""Which ports aiocoap listens on: it binds to free ones but does not tell."""


def udp(context):
    for interface in context.request_interfaces:
        token_interface = getattr(interface, "token_interface", None)
        messages = getattr(token_interface, "message_interface", None)
        if messages is not None:
            return messages._pool._transport.get_extra_info("sockname")[1]
    raise RuntimeError("no UDP socket")


def ws(context):
    for interface in context.request_interfaces:
        token_interface = getattr(interface, "token_interface", None)
        for listener in getattr(token_interface, "_servers", []):
            return listener.sockets[0].getsockname()[1]
    raise RuntimeError("no WebSocket listener")
