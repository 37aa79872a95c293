"""Which URLs may be called back: https, at a host that the tenant allows (contract 3, 5). Pure."""

from __future__ import annotations

import re
from functools import lru_cache

from outbound.addresses import AddressError, Target, destination

URL_MAX = 2048  # characters

# Stricter than RFC 3986 on purpose: no user part, no backslash, nothing that two parsers read differently.
_URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?\.?|\[::1\])(?::(?P<port>[0-9]{1,5}))?"
    r"(?:[/?#][\x21-\x5b\x5d-\x7e]*)?",
    re.IGNORECASE,
)
_LOOPBACK = re.compile(r"localhost|::1|127(?:\.[0-9]{1,3}){3}")
_DEFAULT_PORTS = {"https": 443, "http": 80}


def problem(url: str, *, hosts: tuple[str, ...], demo: bool = False) -> str:
    """What is wrong with a callback URL, in words; "" when it may be called.

    `hosts` are names, each with its subdomains, and `name:port` for another port than 443. `demo` also allows
    http and this machine.
    """
    if len(url) > URL_MAX:
        return f"must not be longer than {URL_MAX} characters"
    match = _URL.fullmatch(url)
    if not match:
        return (
            "must be an absolute https:// URL of ASCII characters (an international host name as xn--…), "
            "without blanks, backslashes or a user name"
        )
    try:
        found = destination(url)
    except AddressError as error:
        return f"can never be dialled: {error}"
    host, scheme = found.host, found.scheme
    if demo and _LOOPBACK.fullmatch(host):
        return ""
    if scheme != "https" and not demo:
        return "must begin with https://"
    if ".." in host or not _is_allowed(host, _port(found), _rules(hosts)):
        return f"names a host that is not allowed; allowed are {', '.join(hosts)} and their subdomains"
    return ""


def _port(found: Target) -> str:
    """The port that a rule must name; "" for the scheme's own."""
    return "" if found.port == _DEFAULT_PORTS[found.scheme] else str(found.port)


def _is_allowed(host: str, port: str, rules: tuple[tuple[str, str], ...]) -> bool:
    return any(
        port == allowed_port and (host == name or host.endswith(f".{name}")) for name, allowed_port in rules
    )


@lru_cache(maxsize=1024)
def _rules(hosts: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Entries as people write them (capitals, `*.`, a dot at the end, other scripts) as (name, port)."""
    rules = []
    for entry in hosts:
        name, _, port = entry.strip().lower().partition(":")
        name = name.removeprefix("*.").strip(".")
        try:
            ascii_name = name.encode("idna").decode()
        except UnicodeError:
            continue  # no host name at all: it allows nothing
        if ascii_name:
            rules.append((ascii_name, "" if port == "443" else port))
    return tuple(rules)
