"""aiocoap in the roles of the suite, one after the other: loading it takes long.

The first line of a role is its configuration, with "role", and null its last one;
{"over": true} is the answer to that.
"""

import gc

import client
import line
import proxy
import server

ROLES = {"client": client.main, "proxy": proxy.main, "server": server.main}


async def main(config):
    await ROLES[config["role"]](config)
    gc.collect()  # contexts with files close them when they go


while line.run(main):
    line.write(over=True)
