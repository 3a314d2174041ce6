"""The way between the suite and a peer: JSON, one object a line.

The first line from the suite is the configuration. The first line from the peer
says who it is and where it listens. Each further line from the suite is a
question with one line in answer, until null. A peer ends when its standard input
does, so none outlives the suite.
"""

import asyncio
import json
import sys

import aiocoap.meta


def _read():
    line = sys.stdin.readline()
    return json.loads(line) if line else None


async def read():
    """Returns the next object, or None at the end."""
    return await asyncio.get_running_loop().run_in_executor(None, _read)


def write(**answer):
    print(json.dumps(answer), flush=True)


def hello(**where):
    write(name="aiocoap", version=aiocoap.meta.version, **where)


def run(main):
    """Runs main(config) and returns True, or False when the suite has gone."""
    config = _read()
    if config is None:
        return False
    asyncio.run(main(config))
    return True
