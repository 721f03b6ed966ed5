"""The body of an answer: whole, unpacked, and never larger than expected.

The library would unpack by itself, but takes a compressed body that was cut off for a whole one.
"""

import zlib
from http import HTTPStatus

import aiohttp

_WINDOW_BITS = {"gzip": 31, "x-gzip": 31, "deflate": zlib.MAX_WBITS}


_MOST_MEMBERS = 16
"""Each is found by copying what is left, and an empty one takes 20 bytes."""


class TooLarge(ValueError):
    """More bytes than an answer can have: a few of gzip can hold hundreds of megabytes."""

    def __init__(self, largest: int) -> None:
        super().__init__(f"the body is larger than {largest:,} bytes")


class BadlyPacked(ValueError):
    """Said in a few words: what is wrong with the packing."""


async def read_body(response: aiohttp.ClientResponse, largest: int) -> bytes:
    """The bytes of an answer, at most `largest` of them, for a session that does not unpack by itself.

    Of a refusal only what can be read: its status says enough.
    """
    chunks, size = [], 0
    try:
        while not response.content.at_eof():
            chunk = await response.content.readany()
            size += len(chunk)
            if size > largest:
                raise TooLarge(largest)
            chunks.append(chunk)
        body, encoding = b"".join(chunks), response.headers.get("Content-Encoding")
        return unpack(body, encoding, largest) if encoding else body
    except (TooLarge, BadlyPacked, aiohttp.ClientPayloadError):
        if response.status == HTTPStatus.OK:
            raise
        return b""


def unpack(packed: bytes, encoding: str, largest: int) -> bytes:
    """What `packed` holds by its Content-Encoding; an end that never came is an error."""
    encoding = encoding.strip().lower()
    if encoding in ("", "identity") or not packed:
        return packed
    if encoding not in _WINDOW_BITS:
        raise BadlyPacked("packed in a way that was not asked for")
    plain, members = b"", 0
    while packed:  # gzip may come in several members, which are one text
        if (members := members + 1) > _MOST_MEMBERS:
            raise BadlyPacked(f"the {encoding} is in too many pieces")
        stream = zlib.decompressobj(_WINDOW_BITS[encoding])
        try:
            plain += stream.decompress(packed, largest + 1 - len(plain))
        except zlib.error:
            raise BadlyPacked(f"this is no {encoding}") from None
        if len(plain) > largest:
            raise TooLarge(largest)
        if not stream.eof:
            raise BadlyPacked(f"the {encoding} is cut off")
        packed = stream.unused_data.lstrip(b"\0")  # padding
    return plain
