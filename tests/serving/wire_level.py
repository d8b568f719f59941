"""A client that is a socket: it can leave in the middle, and cannot be polite by accident."""

import asyncio
import json


def request(path, content, **headers):
    """Return the bytes of a POST."""
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    more = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n{more}\r\n"
    return head.encode() + body


async def connect(address):
    host, port = address.split(":")
    return await asyncio.open_connection(host, int(port))


async def answer(reader):
    """Return the status, the headers and the body of the next answer."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    status, *lines = head.rstrip().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    body = await reader.readexactly(int(headers["content-length"]))
    return int(status.split()[1]), headers, body


async def ask(stream, path, content, **headers):
    """Send one request on an open connection, and return its answer."""
    reader, writer = stream
    writer.write(request(path, content, **headers))
    return await answer(reader)
