"""The way between the suite and a peer program: JSON, one object a line.

The first line from the suite is the configuration. The first line from the peer
says who it is and where it listens. Each further line from the suite is a
question with one line in answer. A peer ends when its standard input does, so
none outlives the suite.
"""

import asyncio
import json
import sys

import aiocoap.meta


async def read():
    """Returns the next object, or None at the end."""
    line = await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    return json.loads(line) if line else None


def write(**answer):
    print(json.dumps(answer), flush=True)


def hello(**where):
    write(name="aiocoap", version=aiocoap.meta.version, **where)


def run(main):
    """Runs main(config) until the suite lets go."""

    async def whole():
        await main(await read())

    asyncio.run(whole())
