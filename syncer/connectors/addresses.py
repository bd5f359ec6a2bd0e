"""Which addresses we connect to: public ones only, unless private ones are allowed.

A host is resolved once, every answer is judged, and the connection goes to the answer itself, so that a name that
changes between the check and the call (DNS rebinding) gains nothing. The spelling of a host never matters: `127.1`,
`0x7f000001` and `localhost` are judged by what they resolve to.
"""

import socket
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import TypeAlias

from syncer.connectors.base import Misconfigured, Transient

Resolve: TypeAlias = Callable[[str], Sequence[str]]
"""The IP addresses of a host, in text; raises socket.gaierror."""

# What `is_global` of Python 3.11.7 calls global, but is not (IANA special-purpose registries, RFC 5735, 6890, 9637).
_SPECIAL_V4 = tuple(
    IPv4Network(network)
    for network in ("192.0.0.0/24", "192.88.99.0/24", "198.18.0.0/15", "224.0.0.0/4", "240.0.0.0/4")
)
# All public IPv6 lies in 2000::/3 (RFC 4291 2.4): without it go ff00::/8, fec0::/10, ::/96, 64:ff9b::/96 and the like.
_PUBLIC_V6 = IPv6Network("2000::/3")
_SPECIAL_V6 = tuple(IPv6Network(network) for network in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"))
# No answer of the resolver, as opposed to no answer for now (EAI_AGAIN). EAI_NODATA and EAI_ADDRFAMILY are glibc's.
_NO_SUCH_HOST = {socket.EAI_NONAME, socket.EAI_FAMILY, -5, -9}


def is_public(text: str) -> bool:
    """Whether an IP address is one of the public internet; False also for text that is no address."""
    try:
        address = ip_address(text)
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if isinstance(address, IPv4Address):
        return address.is_global and not any(address in network for network in _SPECIAL_V4)
    return address.is_global and address in _PUBLIC_V6 and not any(address in network for network in _SPECIAL_V6)


def system_resolve(host: str) -> list[str]:
    """The addresses that the system knows for a host, in its order of preference, each once."""
    answers = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in answers))


def addresses_of(host: str, resolve: Resolve, allow_private: bool) -> Sequence[str]:
    """The addresses to connect to. One answer that is not public refuses the whole host.

    Raises Misconfigured (no such host, a refused address) and Transient (the resolver is out of order).
    """
    try:
        found = resolve(host)
    except ValueError:
        raise no_such_host(host) from None
    except socket.gaierror as error:
        if error.errno in _NO_SUCH_HOST:
            raise no_such_host(host) from None
        raise Transient(f"The address of {host} cannot be looked up at the moment. Try again later.") from None
    if not found:
        raise no_such_host(host)
    if not allow_private and not all(is_public(address) for address in found):
        raise Misconfigured(
            f"{host} is an address of a private network, and those are not allowed. "
            "Use the public address, or have ALLOW_PRIVATE_HOSTS set."
        )
    return found


def no_such_host(host: str) -> Misconfigured:
    return Misconfigured(f"There is no host called {host}. Check the address.")
