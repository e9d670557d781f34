"""Which addresses of the network a source may lead to: the public ones, and private ones that were listed."""

from __future__ import annotations

import ipaddress
import re
import socket
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from db.errors import UsageError

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

VARIABLE = "LODE_PRIVATE_HOSTS"

_NAT64 = IPv6Network("64:ff9b::/96")
_NAT64_LOCAL = IPv6Network("64:ff9b:1::/48")
_COMPATIBLE = IPv6Network("::/96")
_PROTOCOLS = IPv4Network("192.0.0.0/24")
# Services that tell a machine's keys to whoever asks from it, beside the link-local ones.
_METADATA: tuple[Network, ...] = (
    IPv4Network("100.100.100.200/32"),
    IPv4Network("192.0.0.192/32"),
    IPv6Network("fd00:ec2::/32"),
)
_HOST = re.compile(r"[a-z0-9_]([a-z0-9_.-]{0,252}[a-z0-9_])?")


def parse_address(text: str) -> Address:
    """An address as the resolver writes it, without its zone.

    Raises:
        ValueError: it is none.

    """
    return ipaddress.ip_address(text.partition("%")[0])


def _meanings(address: Address) -> list[Address]:
    """The address, and every one that it stands for in a gateway on the way."""
    found: list[Address] = [address]
    if isinstance(address, IPv4Address):
        return found
    number = int(address)
    low = IPv4Address(number & 0xFFFFFFFF)
    if address.ipv4_mapped is not None:
        return [address.ipv4_mapped]
    if address.sixtofour is not None:
        found.append(address.sixtofour)
    if address in _NAT64:
        found.append(low)
    if address in _NAT64_LOCAL:
        # RFC 6052: a longer prefix within this one may have been chosen; bits 64 to 71 are left out.
        whole = (number >> 64 << 56) | (number & ((1 << 56) - 1))
        found.append(low)
        found += [IPv4Address((whole >> shift) & 0xFFFFFFFF) for shift in (40, 32, 24)]
    if address in _COMPATIBLE and number > 1:
        found.append(low)
    return found


def is_forbidden(address: Address) -> bool:
    """Whether an address is link-local or tells a machine's keys: nobody may go there."""
    return any(
        each.is_link_local or any(each in network for network in _METADATA) for each in _meanings(address)
    )


def is_private_address(address: Address) -> bool:
    """Whether an address, or one that it stands for, is not of the public internet."""
    return any(
        not each.is_global
        or each.is_multicast
        or (isinstance(each, IPv6Address) and (each.is_site_local or each in _NAT64_LOCAL))
        or (isinstance(each, IPv4Address) and each in _PROTOCOLS)
        for each in _meanings(address)
    )


def addresses_of(host: str) -> list[Address]:
    """Addresses of a host, which may be one itself; none where its name leads nowhere."""
    try:
        return [parse_address(host)]
    except ValueError:
        pass
    try:
        listed = socket.getaddrinfo(host, None, proto=socket.IPPROTO_TCP)
    except (OSError, UnicodeError):
        return []  # the request itself will say so
    return [parse_address(str(entry[4][0])) for entry in listed]


def is_private(host: str) -> bool:
    """Whether a host is, or its name leads to, an address that is not of the public internet."""
    return any(is_private_address(address) for address in addresses_of(host))


@dataclass(frozen=True)
class PrivateHosts:
    """Private hosts that this machine's administrator lets sources lead to.

    Attributes:
        names: hosts, in lower case.
        networks: addresses.

    """

    names: frozenset[str] = frozenset()
    networks: tuple[Network, ...] = ()

    @classmethod
    def parse(cls, text: str) -> PrivateHosts:
        """Hosts and networks, separated by commas or spaces.

        Raises:
            UsageError: a word is neither.

        """
        names, networks = set(), []
        for word in re.split(r"[\s,]+", text.strip().lower()):
            if not word:
                continue
            try:
                networks.append(ipaddress.ip_network(word.strip("[]"), strict=False))
            except ValueError:
                if "/" in word or not _HOST.fullmatch(word):
                    raise UsageError(
                        f"{VARIABLE}: {word[:100]!r} is neither a host nor a network; write for instance "
                        "stac.intern.example 10.1.0.0/16 127.0.0.1"
                    ) from None
                names.add(word.rstrip("."))
        return cls(frozenset(names), tuple(networks))

    def holds(self, host: str, address: Address) -> bool:
        """Whether a private address, which this host leads to, was listed by either."""
        if host.lower().strip("[]").rstrip(".") in self.names:
            return True
        own = _meanings(address)[0]
        return any(own in network for network in self.networks)

    def fault(self, host: str, address: Address, *, may_go_inside: bool) -> str | None:
        """Why a source may not go to an address that a host leads to; None: it may.

        The address itself is not told: whoever edits sources must not learn our names.
        """
        if is_forbidden(address):
            return "is an address of this machine's link or of its cloud's metadata; nobody may go there"
        if not is_private_address(address):
            return None
        if not may_go_inside:
            return "lies in a private network, and the source does not; it is refused"
        if self.holds(host, address):
            return None
        return (
            f"lies in a private network, or on this machine; where that is meant, set {VARIABLE} on the "
            f"machine that fetches to the hosts or networks that may be asked, for instance {VARIABLE}={host}"
        )
