"""Addresses with letters beyond ASCII (RFC 3987), made into URLs: the host by IDNA, everything else by percents."""

from __future__ import annotations

import requests


def encoded(address: str) -> str:
    """The URL that an http(s) address stands for; one in ASCII stays as it is. Raises ValueError for no host name."""
    if address.isascii():
        return address
    url = (
        requests.Request("GET", address).prepare().url or ""
    )  # as outbound.http would write it; raises ValueError
    if not url.isascii():
        raise ValueError("the address has no form in ASCII")
    return url
