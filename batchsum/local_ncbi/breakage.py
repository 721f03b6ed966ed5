"""Answers that go wrong on the way: each breakage done to the socket as the real thing does it."""

import asyncio
import json
import re
import socket
import struct
from typing import Any

from aiohttp import web

from batchsum.local_ncbi.faults import Effects
from batchsum.local_ncbi.question import Refusal

_BLOCKED_PAGE = (
    "<!DOCTYPE html><html><head><title>{status} Error - NCBI</title></head>"
    "<body><h1>Access denied</h1><p>Your access to this site has been restricted.</p></body></html>"
)
_ERROR_INSIDE = {
    "virus_error_code": "UNKNOWN_VIRUS_ERROR_CODE",
    "reason": "Internal error",
    "message": "The virus service did not answer this question.",
}


async def break_answer(
    request: web.BaseRequest, effects: Effects, status: int, body: bytes, headers: dict[str, str]
) -> web.StreamResponse:
    """The answer with its effects. What is no longer an HTTP answer has been sent when this returns."""
    breakage = effects.breakage
    if breakage == "outage":
        _hang_up(request)
        # The connection is gone, but aiohttp wants a response to end the request with.
        return web.Response(status=503)
    if breakage in ("status", "html"):
        return _error(effects, headers)
    if status == 200:
        if breakage in ("empty", "garbage", "error"):
            error = _dump({"errors": [_ERROR_INSIDE]})
            content = {"empty": b"", "garbage": b'{"record_count": 12', "error": error}
            return web.Response(body=content[breakage], headers=headers)
        body = _miscounted(body, effects)
    if breakage not in ("truncate", "reset") and not effects.drip:
        return web.Response(body=body, status=status, headers=headers)
    response = web.StreamResponse(status=status, headers=headers)
    # The whole length is promised: that the body is cut short can be seen.
    response.content_length = len(body)
    await response.prepare(request)
    if breakage:
        await response.write(body[: len(body) // 2])
        _hang_up(request, breakage)
        return response
    for index in range(len(body)):
        await asyncio.sleep(effects.drip)
        await response.write(body[index : index + 1])
    return response


def _error(effects: Effects, headers: dict[str, str]) -> web.Response:
    if effects.retry_after is not None:
        headers = {**headers, "Retry-After": str(effects.retry_after)}
    if effects.breakage == "html":
        headers = {**headers, "Content-Type": "text/html; charset=utf-8"}
        return web.Response(text=_BLOCKED_PAGE.format(status=effects.status), status=effects.status, headers=headers)
    refusal = Refusal(f"Fault on demand: {effects.status}", effects.status)
    return web.Response(body=_dump(refusal.document), status=effects.status, headers=headers)


def _dump(document: dict[str, Any]) -> bytes:
    return json.dumps(document).encode()


def _miscounted(body: bytes, effects: Effects) -> bytes:
    """The body with its count wrong, where it has one."""
    # Pages of records count in total_count, so that both endpoints tell the same wrong number.
    document = json.loads(body)
    name = "total_count" if "total_count" in document else "record_count"
    count = document.get(name)
    if effects.zero == "omit" and count == 0:
        document.pop(name)
    if effects.count and count is not None:
        if factor := re.fullmatch(r"\*(.+)", effects.count):
            document[name] = int(count * float(factor[1]))
        elif effects.count == "none":
            document.pop(name)
        else:
            document[name] = json.loads(effects.count)
    return _dump(document)


def _hang_up(request: web.BaseRequest, how: str = "") -> None:
    transport = request.transport
    if transport is not None and how == "truncate":
        # What was written is sent before.
        transport.close()
    elif transport is not None:
        if how == "reset":
            # Nothing lingers: the close becomes a TCP reset.
            raw: socket.socket = transport.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
