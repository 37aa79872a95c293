"""Where a URL leads: its host and port, the host's addresses, and which of them may be dialled."""

from __future__ import annotations

import ipaddress
import os
import re
import socket
import threading
import time
from collections.abc import Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from urllib.parse import urlsplit

import requests

Network = IPv4Network | IPv6Network
Resolved = tuple[socket.AddressFamily, tuple[str, int] | tuple[str, int, int, int]]

ANSWERS_KEPT = 10.0  # seconds that a name's addresses are used again
ANSWERS_MAX = 1024  # names remembered per process

_PLAIN = re.compile(
    r"(https?)://([a-z0-9](?:[a-z0-9.-]*[a-z0-9])?)(?::([0-9]{1,5}))?(?:[/?#][!-\[\]-~]*)?", re.I
)
_BLANK = re.compile(r"[\x00-\x20\x7f\\]")

# Not reachable on the public Internet, by the IANA special-purpose registries. Spelled out, because what
# Python's `is_global` covers differs between its versions.
_PRIVATE_V4 = tuple(
    IPv4Network(block)
    for block in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
        *("192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15"),
        *("198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
    )
)
_GLOBAL_V6 = IPv6Network("2000::/3")
_PRIVATE_V6 = tuple(
    IPv6Network(block) for block in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")
)  # with Teredo and 6to4, which carry an IPv4 address to a relay that may believe anything
_NAT64 = IPv6Network("64:ff9b::/96")
# What clouds offer their own machines: credentials, agents. Some stand in public space; none is ever a vendor's.
_CLOUD_SERVICES = frozenset(
    ipaddress.ip_address(address)
    for address in ("169.254.169.254", "168.63.129.16", "100.100.100.200", "192.0.0.192", "fd00:ec2::254")
)
LABEL_MAX, HOST_MAX = 63, 253  # characters of one part of a name, and of a whole name (RFC 1035, 2.3.4)


class AddressError(ValueError):
    """A URL that is never dialled. The text names the fault, not the URL, which may carry a secret."""


class ResolveError(OSError):
    """A name without an address, or no answer in time."""


class RefusedAddress(OSError):
    """A name or address that leads where the guard forbids."""


@dataclass(frozen=True, slots=True)
class Target:
    """What is dialled for a URL. The host is lower case, ASCII, without brackets or a final dot."""

    scheme: str
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class AddressGuard:
    """Which addresses a URL may lead to: public ones, loopback in demos, and named networks."""

    allow_loopback: bool = False
    allowed_networks: tuple[Network, ...] = ()

    def permits(self, address: str) -> bool:
        """Whether one IP address may be dialled. IPv4 inside IPv6 is judged as what it carries."""
        ip = _carried(ipaddress.ip_address(address.partition("%")[0]))
        if ip in _CLOUD_SERVICES:
            return False
        if any(ip in network for network in self.allowed_networks):
            return True
        return self.allow_loopback if ip.is_loopback else _is_public(ip)

    def check(self, answers: Iterable[Resolved]) -> None:
        """Raises RefusedAddress if any answer is forbidden: a name with mixed answers is an attack."""
        if not all(self.permits(sockaddr[0]) for _, sockaddr in answers):
            raise RefusedAddress("the address is not on the public Internet")


def destination(url: str) -> Target:
    """Scheme, host and port as `outbound.http` dials them. Raises AddressError (scheme, userinfo, …).

    Whoever checks a host against a list must take it from here, so that no two parsers disagree.
    """
    plain = _PLAIN.fullmatch(url)
    if plain and plain[2].rpartition(".")[2][:1].isalpha():
        return _destination(plain[1].lower(), plain[2].lower(), int(plain[3]) if plain[3] else None)
    if _BLANK.search(url):
        raise AddressError("the URL has a blank, a control character or a backslash in it")
    try:
        parts = urlsplit(requests.Request("GET", url).prepare().url or "")
        userinfo, port = "@" in parts.netloc or "@" in urlsplit(url).netloc, parts.port
    except (requests.RequestException, ValueError):
        raise AddressError("the URL is malformed") from None
    if userinfo:
        raise AddressError("the URL has a user name or password in it")
    return _destination(parts.scheme, parts.hostname or "", port)


def undialable(url: str, *, guard: AddressGuard) -> str:
    """Why an address that an operator enters could never be dialled, in words; "" when it may be.

    A name is judged when it is dialled, since its addresses may change; http needs a network that is allowed.
    """
    try:
        found = destination(url)
    except AddressError as error:
        return str(error)
    try:
        if not guard.permits(found.host):
            return (
                "the URL leads to a private address; the deployment's ALLOWED_NETWORKS may allow its network"
            )
    except ValueError:
        pass  # a name
    if found.scheme == "http" and not (guard.allow_loopback or guard.allowed_networks):
        return "the URL must begin with https:// (http is only for networks in the deployment's ALLOWED_NETWORKS)"
    return ""


def resolve(host: str, port: int, *, timeout: float) -> tuple[Resolved, ...]:
    """Addresses of a host within `timeout` seconds, unlike the system's look-up. Raises ResolveError."""
    try:
        return _look_up(host, port, socket.AI_NUMERICHOST)
    except ResolveError:
        pass  # a name: ask for it, in a thread that may be left behind
    try:
        return _asked(host, port).result(max(timeout, 0))
    except TimeoutError:
        raise ResolveError("the name was not resolved in time") from None


def _destination(scheme: str, host: str, port: int | None) -> Target:
    if scheme not in ("http", "https"):
        raise AddressError("the URL must begin with https:// (or http://)")
    host = host.rstrip(".")
    if not host or ".." in host:
        raise AddressError("the URL names no host")
    if len(host) > HOST_MAX or max(map(len, host.split("."))) > LABEL_MAX:
        raise AddressError(
            f"the URL's host name is too long (at most {LABEL_MAX} characters between dots, {HOST_MAX} in all)"
        )
    if port is not None and not 0 < port < 65536:
        raise AddressError("the URL's port is out of range")
    return Target(scheme, host, port or (443 if scheme == "https" else 80))


@lru_cache(maxsize=4096)
def _is_public(ip: IPv4Address | IPv6Address) -> bool:
    if isinstance(ip, IPv4Address):
        return not any(ip in block for block in _PRIVATE_V4)
    return ip in _GLOBAL_V6 and not any(ip in block for block in _PRIVATE_V6)


def _carried(ip: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """The IPv4 address that the system or a NAT64 gateway will really dial for an IPv6 one."""
    if isinstance(ip, IPv4Address):
        return ip
    if ip in _NAT64:
        return IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip.ipv4_mapped or ip


def _look_up(host: str, port: int, flags: int = 0) -> tuple[Resolved, ...]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP, flags=flags)
    except (OSError, UnicodeError):
        raise ResolveError("the name has no address") from None
    answers = tuple((family, sockaddr) for family, *_, sockaddr in found)
    return tuple(dict.fromkeys(answers))  # type: ignore[arg-type]  # bytes only in builds without IPv6


class _Memory:
    """One look-up per name is under way at a time, in a thread of its own, and all callers wait for that one:
    a name server that hangs costs one thread per name and delays nobody else."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.futures: dict[tuple[str, int], tuple[Future[tuple[Resolved, ...]], float]] = {}


_memory = _Memory()


def forget() -> None:
    """Drops all remembered addresses (after a fork, whose threads are gone, and in tests)."""
    global _memory
    _memory = _Memory()


os.register_at_fork(after_in_child=forget)


def _asked(host: str, port: int) -> Future[tuple[Resolved, ...]]:
    memory, key, now = _memory, (host, port), time.monotonic()
    with memory.lock:
        future, until = memory.futures.get(key, (None, 0.0))
        if future and (not future.done() or (now < until and not future.exception())):
            return future
        if len(memory.futures) >= ANSWERS_MAX:
            memory.futures = {k: v for k, v in memory.futures.items() if not v[0].done()}
        fresh: Future[tuple[Resolved, ...]] = Future()
        threading.Thread(target=_answer, args=(fresh, host, port), name="resolve", daemon=True).start()
        memory.futures[key] = (fresh, now + ANSWERS_KEPT)
    return fresh


def _answer(future: Future[tuple[Resolved, ...]], host: str, port: int) -> None:
    try:
        future.set_result(_look_up(host, port))
    except ResolveError as error:
        future.set_exception(error)
