"""The proxy that the environment names for a server."""

from urllib.request import getproxies, proxy_bypass

from yarl import URL

from batchsum.config.values import is_loopback
from batchsum.errors import UsageError


def proxy_of_environment(base_url: URL) -> URL | None:
    """Clusters and hospitals reach NCBI through a proxy; a server on this machine is never behind one.

    The library could look for itself, but would then also send the server what ~/.netrc has for it.
    """
    host = base_url.host or ""
    if is_loopback(host):
        return None
    address = getproxies().get(base_url.scheme)
    if not address or proxy_bypass(host):
        return None
    variable = f"{base_url.scheme.upper()}_PROXY"
    try:
        proxy = URL(address if "://" in address else f"http://{address}")
    except ValueError:
        raise UsageError(f"{variable}: this is not an address; write it as in http://proxy:3128") from None
    if proxy.scheme not in ("http", "https") or not proxy.host:
        raise UsageError(f"{variable}: a proxy of the kind {proxy.scheme} cannot be used; http://proxy:3128 can")
    return proxy
