"""What went wrong on the way: a Failure where asking again may help, Refused where going on would be wrong.

The library's own texts can hold the key (`repr` of a request shows its headers), so none of them is repeated.
"""

import os
import ssl

import aiohttp

from batchsum.errors import Refused
from batchsum.model.queries import Failure


class NotReady(aiohttp.ClientConnectionError):
    """On each connection that was tried the server had spoken or hung up before it was asked anything."""


def network_failure(error: Exception, *, host: str, timeout: float) -> Failure:
    """What `error` of an HTTP session means. Raises Refused for TLS that fails, and for a proxy that forbids."""
    match error:  # from the particular to the general: aiohttp's errors inherit from each other and from OSError
        case aiohttp.ConnectionTimeoutError():
            return Failure("failed", "timeout", f"no connection to {host} in time")
        case TimeoutError():
            return Failure("failed", "timeout", f"no whole answer within {timeout:g} s")
        case aiohttp.ClientHttpProxyError():
            if error.status in (403, 407):
                raise Refused(f"the proxy does not let us through to {host} (HTTP {error.status})") from None
            return Failure("failed", "connection", f"the proxy answers HTTP {error.status}")
        case aiohttp.ClientProxyConnectionError():
            return Failure("failed", "connection", f"no connection to the proxy: {_cause(error)}")
        case aiohttp.ClientSSLError() | aiohttp.ServerFingerprintMismatch() | ssl.SSLError():
            return _tls_failure(error, host)
        case aiohttp.ClientConnectorDNSError() | UnicodeError():
            return Failure("failed", "connection", f"{host} has no address")
        case aiohttp.ClientConnectorError():
            return Failure("failed", "connection", f"no connection to {host}: {_cause(error)}")
        case NotReady():
            return Failure("failed", "connection", "the server speaks or hangs up before it is asked")
        case aiohttp.ServerDisconnectedError():
            return Failure("failed", "connection", "the server closed the connection")
        case aiohttp.ClientPayloadError():
            return Failure("failed", "connection", "the answer broke off, or is packed wrongly")
        case aiohttp.ClientResponseError():
            return Failure("failed", "connection", "the answer is not HTTP")
    return Failure("failed", "connection", _cause(error))


def _tls_failure(error: Exception, host: str) -> Failure:
    inner = getattr(error, "os_error", error)
    # A connection that ends while TLS begins is like any other that ends; only what TLS says itself is a refusal.
    if isinstance(inner, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return Failure("failed", "connection", f"{host} closed the connection while TLS began")
    hint = ""
    if isinstance(error, ssl.SSLCertVerificationError):
        hint = "; where your network inspects TLS, let SSL_CERT_FILE name its certificate"
    raise Refused(f"TLS with {host} failed: {_cause(error)}{hint}") from None


def _cause(error: Exception) -> str:
    """The operating system's word for it, without addresses, headers or requests."""
    inner = getattr(error, "os_error", None) or getattr(error, "certificate_error", None) or error
    words = getattr(inner, "verify_message", None) or getattr(inner, "reason", None)
    number = getattr(inner, "errno", None) or 0
    if not words and number > 0:
        words = os.strerror(number)
    return str(words or getattr(inner, "strerror", None) or type(inner).__name__)
