"""The body of an answer: whole, unpacked, and never larger than expected.

The HTTP library would unpack by itself, but takes a compressed body that was cut off for a whole one, and has no
bound for what comes out of it: 300 KB of gzip can hold 300 MB.
"""

import zlib
from http import HTTPStatus

import aiohttp

from batchsum.ncbi.document import BadAnswer

_WINDOW_BITS = {"gzip": 31, "x-gzip": 31, "deflate": zlib.MAX_WBITS}
_MOST_MEMBERS = 16
"""Each is found by copying what is left, and an empty one takes 20 bytes."""


async def read_body(response: aiohttp.ClientResponse, largest: int) -> bytes:
    """The bytes of an answer, at most `largest` of them, for a session that does not unpack by itself.

    Raises BadAnswer and aiohttp.ClientPayloadError. Of a refusal only what can be read: its status says enough.
    """
    chunks, size = [], 0
    try:
        while not response.content.at_eof():
            chunk = await response.content.readany()
            size += len(chunk)
            if size > largest:
                raise _too_large(largest)
            chunks.append(chunk)
        return unpack(b"".join(chunks), response.headers.get("Content-Encoding", ""), largest)
    except (BadAnswer, aiohttp.ClientPayloadError):
        if response.status == HTTPStatus.OK:
            raise
        return b""


def unpack(packed: bytes, encoding: str, largest: int) -> bytes:
    """What `packed` holds by its Content-Encoding; an end that never came is a BadAnswer."""
    encoding = encoding.strip().lower()
    if encoding in ("", "identity") or not packed:
        return packed
    if encoding not in _WINDOW_BITS:
        raise BadAnswer("packed in a way that was not asked for")
    plain, members = b"", 0
    while packed:  # gzip may come in several members, which are one text
        if (members := members + 1) > _MOST_MEMBERS:
            raise BadAnswer(f"the {encoding} is in too many pieces")
        stream = zlib.decompressobj(_WINDOW_BITS[encoding])
        try:
            plain += stream.decompress(packed, largest + 1 - len(plain))
        except zlib.error:
            raise BadAnswer(f"this is no {encoding}") from None
        if len(plain) > largest:
            raise _too_large(largest)
        if not stream.eof:
            raise BadAnswer(f"the {encoding} is cut off")
        packed = stream.unused_data.lstrip(b"\0")  # padding
    return plain


def _too_large(largest: int) -> BadAnswer:
    return BadAnswer(f"the body is larger than {largest:,} bytes")
