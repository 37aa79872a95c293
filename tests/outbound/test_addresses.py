from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator

import pytest

from outbound import addresses, http, sockets
from outbound.addresses import AddressError, AddressGuard, ResolveError, Target, undialable
from outbound.values import CallFailure, HttpRequest, HttpResponse
from tests.outbound.servers import reply, serving

PUBLIC, PUBLIC6 = "93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946"
NAMES: dict[str, list[str]] = {
    "public.example": [PUBLIC],
    "both.example": [PUBLIC, PUBLIC6],
    "loop.example": ["127.0.0.1"],
    "meta.example": ["169.254.169.254"],
    "inside.example": ["10.1.2.3"],
    "six.example": ["::1"],
    "mixed.example": [PUBLIC, "10.0.0.1"],
    "localhost": ["127.0.0.1", "::1"],
}


class Dialled(OSError):
    """A connection that the test forbids in place of the network."""


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    addresses.forget()
    sockets.forget_pools()
    yield
    addresses.forget()
    sockets.forget_pools()


@pytest.fixture
def dialled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names resolve to NAMES, nothing leaves the machine; what would have been dialled is listed."""
    real, seen = socket.getaddrinfo, []

    def getaddrinfo(host: str, port: int, *args: object, flags: int = 0, **kwargs: object) -> list[object]:
        found: list[object] = []
        for address in [host] if flags & socket.AI_NUMERICHOST else NAMES.get(host.rstrip(".").lower(), []):
            found += real(address, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        if not found:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return found

    def connect(answer: addresses.Answer, timeout: float) -> socket.socket:
        seen.append(answer[1][0])
        raise Dialled

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    monkeypatch.setattr(sockets, "_connect", connect)
    return seen


ATTACKS = [
    pytest.param("http://127.0.0.1/", id="loopback"),
    pytest.param("http://2130706433/", id="loopback, decimal"),
    pytest.param("http://0x7f000001/", id="loopback, hex"),
    pytest.param("http://0177.0.0.1/", id="loopback, octal"),
    pytest.param("http://0/", id="this host"),
    pytest.param("http://\uff11\uff12\uff17.\uff10.\uff10.\uff11/", id="loopback, full-width digits"),
    pytest.param("http://localhost/", id="localhost"),
    pytest.param("http://[::1]/", id="IPv6 loopback"),
    pytest.param("http://[::]/", id="IPv6 unspecified"),
    pytest.param("http://[::ffff:127.0.0.1]/", id="IPv4-mapped"),
    pytest.param("http://[::127.0.0.1]/", id="IPv4-compatible"),
    pytest.param("http://[64:ff9b::127.0.0.1]/", id="NAT64"),
    pytest.param("http://[2002:7f00:1::]/", id="6to4"),
    pytest.param("http://[2001:0:5ef5:79fd:380c:16e5:80ff:fffe]/", id="Teredo"),
    pytest.param("http://[fe80::1]/", id="link-local"),
    pytest.param("http://[fec0::1]/", id="site-local"),
    pytest.param("http://[fd00::1]/", id="unique local"),
    pytest.param("http://10.0.0.1/", id="RFC 1918, 10/8"),
    pytest.param("http://172.16.0.1/", id="RFC 1918, 172.16/12"),
    pytest.param("http://192.168.1.1/", id="RFC 1918, 192.168/16"),
    pytest.param("http://169.254.169.254/latest/meta-data/", id="cloud metadata"),
    pytest.param("http://100.64.0.1/", id="CGNAT"),
    pytest.param("http://192.0.2.1/", id="test net 1"),
    pytest.param("http://198.51.100.1/", id="test net 2"),
    pytest.param("http://203.0.113.1/", id="test net 3"),
    pytest.param("http://224.0.0.1/", id="multicast"),
    pytest.param("http://255.255.255.255/", id="broadcast"),
    pytest.param("http://loop.example/", id="name of loopback"),
    pytest.param("http://meta.example/", id="name of cloud metadata"),
    pytest.param("http://six.example/", id="name of IPv6 loopback"),
    pytest.param("http://mixed.example/", id="mixed answers"),
    pytest.param("http://public.example@127.0.0.1/", id="userinfo"),
    pytest.param("http://127.0.0.1\\@public.example/", id="backslash before @"),
    pytest.param("http://public.example\\@127.0.0.1/", id="backslash after the name"),
    pytest.param("http://inside.example./", id="name with a final dot"),
    pytest.param("HTTP://LOOP.EXAMPLE/", id="capitals"),
]


@pytest.mark.parametrize("url", ATTACKS)
def test_attacks_are_stopped_before_anything_is_dialled(dialled: list[str], url: str) -> None:
    outcome = http.call(HttpRequest("GET", url), deadline=5, guard=AddressGuard())
    assert isinstance(outcome, CallFailure)
    code = "bad_url" if "@" in url or not url.isascii() else "refused_address"
    assert (outcome.code, outcome.sent) == (code, False)
    assert dialled == []


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        pytest.param("http://public.example/", [PUBLIC], id="public name"),
        pytest.param(
            "https://both.example/", [PUBLIC, PUBLIC6], id="both families, checked and tried in turn"
        ),
        pytest.param(f"http://{PUBLIC}/", [PUBLIC], id="public address"),
        pytest.param(f"http://[{PUBLIC6}]/", [PUBLIC6], id="public IPv6 address"),
        pytest.param(f"http://[::ffff:{PUBLIC}]/", [f"::ffff:{PUBLIC}"], id="public, IPv4-mapped"),
        pytest.param(f"http://[64:ff9b::{PUBLIC}]/", ["64:ff9b::5db8:d822"], id="public, behind NAT64"),
    ],
)
def test_public_addresses_are_dialled_as_they_were_checked(
    dialled: list[str], url: str, wanted: list[str]
) -> None:
    outcome = http.call(HttpRequest("GET", url), deadline=5, guard=AddressGuard())
    assert isinstance(outcome, CallFailure)
    assert (outcome.code, dialled) == ("unreachable", wanted)


def test_the_harness_sees_what_is_dialled(dialled: list[str]) -> None:
    http.call(HttpRequest("GET", "http://loop.example/"), deadline=5, guard=None)
    assert dialled == ["127.0.0.1"]


def test_a_name_is_not_asked_again_between_check_and_connect(
    dialled: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter([[PUBLIC], ["127.0.0.1"], ["127.0.0.1"]])
    real = socket.getaddrinfo

    def rebinding(host: str, port: int, *args: object, flags: int = 0, **kwargs: object) -> object:
        if not flags:
            NAMES["rebinding.example"] = next(answers)
        return real(host, port, flags=flags)

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    http.call(HttpRequest("GET", "http://rebinding.example/"), deadline=5, guard=AddressGuard())
    assert dialled == [PUBLIC]

    addresses.forget()
    outcome = http.call(HttpRequest("GET", "http://rebinding.example/"), deadline=5, guard=AddressGuard())
    assert isinstance(outcome, CallFailure)
    assert (outcome.code, dialled) == ("refused_address", [PUBLIC])


@pytest.mark.parametrize(
    "location",
    [
        pytest.param("http://169.254.169.254/latest/", id="to cloud metadata"),
        pytest.param("//127.0.0.1:1/", id="to another port without a scheme"),
        pytest.param("http://public.example/", id="to a public name"),
    ],
)
@pytest.mark.parametrize("status", ["301 Moved", "307 Temporary"])
def test_redirects_are_never_followed(location: str, status: str) -> None:
    with serving(reply(b"", status=status, headers=f"Location: {location}\r\n")) as server:
        outcome = http.call(
            HttpRequest("POST", server.url(), {}, b"x"), deadline=5, guard=AddressGuard(allow_loopback=True)
        )
    assert isinstance(outcome, HttpResponse)
    assert (outcome.status, outcome.headers["location"], len(server.requests)) == (
        int(status[:3]),
        location,
        1,
    )


@pytest.mark.parametrize(
    ("address", "permitted"),
    [
        pytest.param("127.0.0.1", True, id="loopback"),
        pytest.param("127.9.9.9", True, id="all of 127/8"),
        pytest.param("::1", True, id="IPv6 loopback"),
        pytest.param("::ffff:127.0.0.1", True, id="mapped loopback"),
        pytest.param("0.0.0.0", False, id="unspecified is not loopback"),  # noqa: S104
        pytest.param("10.0.0.1", False, id="private"),
        pytest.param(PUBLIC, True, id="public"),
    ],
)
def test_allow_loopback(address: str, permitted: bool) -> None:
    assert AddressGuard(allow_loopback=True).permits(address) is permitted


def test_named_networks_are_allowed_and_nothing_beside_them() -> None:
    guard = AddressGuard(
        allowed_networks=(ipaddress.ip_network("10.20.0.0/16"), ipaddress.ip_network("fd00:1::/64"))
    )
    wanted = {
        "10.20.30.40": True,
        "::ffff:10.20.30.40": True,
        "10.21.0.1": False,
        "fd00:1::5": True,
        "fd00:2::5": False,
        "fe80::1%lo": False,
        "127.0.0.1": False,
        PUBLIC: True,
    }
    assert {address: guard.permits(address) for address in wanted} == wanted


@pytest.mark.parametrize(
    ("url", "found"),
    [
        pytest.param(
            "https://acme.bloomreach.co/hook?a=b@c", ("https", "acme.bloomreach.co", 443), id="plain"
        ),
        pytest.param("http://Acme.Example:8080", ("http", "acme.example", 8080), id="port and capitals"),
        pytest.param("HTTPS://acme.example#x@y", ("https", "acme.example", 443), id="fragment"),
        pytest.param("https://acme.example./x", ("https", "acme.example", 443), id="final dot"),
        pytest.param("https://acme.example:/x", ("https", "acme.example", 443), id="empty port"),
        pytest.param("https://b\u00fccher.example/", ("https", "xn--bcher-kva.example", 443), id="IDNA"),
        pytest.param("http://127.0.0.1:81/", ("http", "127.0.0.1", 81), id="address"),
        pytest.param("http://[::1]:82/", ("http", "::1", 82), id="IPv6 address"),
        pytest.param("http://a_b.example/", ("http", "a_b.example", 80), id="underscore"),
    ],
)
def test_destination(url: str, found: tuple[str, str, int]) -> None:
    assert addresses.destination(url) == Target(*found)


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        pytest.param("", "malformed", id="empty"),
        pytest.param("acme.example", "malformed", id="no scheme"),
        pytest.param("ftp://acme.example/", "https://", id="ftp"),
        pytest.param("javascript:alert(1)", "https://", id="javascript"),
        pytest.param("file:///etc/passwd", "https://", id="file"),
        pytest.param("http://", "malformed", id="no host"),
        pytest.param("http://./", "malformed", id="only a dot"),
        pytest.param("http://a..b/", "names no host", id="empty label"),
        pytest.param("http://user:s3cret@acme.example/", "user name", id="userinfo"),
        pytest.param("http://@acme.example/", "user name", id="empty userinfo"),
        pytest.param("http://acme.example\\.evil.example/", "backslash", id="backslash"),
        pytest.param("http://acme.example/a b", "blank", id="blank"),
        pytest.param(" http://acme.example/", "blank", id="blank before"),
        pytest.param("http://acme.example/\r\nX: y", "control", id="line ends"),
        pytest.param("http://acme.example:0/", "port", id="port 0"),
        pytest.param("http://acme.example:65536/", "port|malformed", id="port too high"),
        pytest.param("http://acme.example:x/", "malformed", id="port is a word"),
        pytest.param("http://[::1/", "malformed", id="bracket"),
        pytest.param("http://*.example/", "malformed", id="star"),
    ],
)
def test_no_destination(url: str, problem: str) -> None:
    with pytest.raises(AddressError, match=problem) as raised:
        addresses.destination(url)
    assert "s3cret" not in str(raised.value)


def test_answers_are_remembered_for_ten_seconds(dialled: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(addresses.time, "monotonic", lambda: now[0])
    first = addresses.resolve("public.example", 80, timeout=5)
    monkeypatch.setitem(NAMES, "public.example", [PUBLIC6])

    now[0] += 9.9
    assert addresses.resolve("public.example", 80, timeout=5) == first
    now[0] += 0.2
    assert [answer[1][0] for answer in addresses.resolve("public.example", 80, timeout=5)] == [PUBLIC6]


def test_failures_are_not_remembered(dialled: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ResolveError):
        addresses.resolve("new.example", 80, timeout=5)
    monkeypatch.setitem(NAMES, "new.example", [PUBLIC])
    assert addresses.resolve("new.example", 80, timeout=5) == ((socket.AF_INET, (PUBLIC, 80)),)


def test_the_memory_is_bounded(dialled: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "ANSWERS_MAX", 3)
    for number in range(20):
        monkeypatch.setitem(NAMES, f"n{number}.example", [PUBLIC])
        addresses.resolve(f"n{number}.example", 80, timeout=5)
    assert len(addresses._memory.futures) <= 3


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "168.63.129.16",
        "100.100.100.200",
        "192.0.0.192",
        "fd00:ec2::254",
        "::ffff:168.63.129.16",
    ],
)
def test_the_clouds_own_services_are_never_dialled(address: str) -> None:
    everything = (ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0"))
    assert AddressGuard(allow_loopback=True, allowed_networks=everything).permits(address) is False


PRIVATE = AddressGuard(allowed_networks=(ipaddress.ip_network("10.20.0.0/16"),))


@pytest.mark.parametrize(
    ("url", "words"),
    [
        pytest.param("ftp://gateway.example", "begin with https://", id="ftp"),
        pytest.param("http://gateway.example", "http is only for networks", id="http"),
        pytest.param("https://user:word@gateway.example", "user name or password", id="credentials"),
        pytest.param("https://127.0.0.1/x", "private address", id="loopback"),
        pytest.param("https://[::1]/x", "private address", id="IPv6 loopback"),
        pytest.param("https://[::ffff:10.0.0.1]/x", "private address", id="mapped"),
        pytest.param("https://10.0.0.1:8443", "private address", id="private"),
        pytest.param("https://169.254.169.254/latest", "private address", id="metadata"),
        pytest.param("https://168.63.129.16/", "private address", id="a cloud's service in public space"),
        pytest.param(f"https://{'a' * 64}.example", "too long", id="a long label"),
        pytest.param(f"https://{'a.' * 130}example", "too long", id="a long name"),
        pytest.param("https://gateway.example:0", "port is out of range", id="port 0"),
        pytest.param("https://gateway.example:65536", "port is out of range", id="port 65536"),
        pytest.param("https://a..example", "names no host", id="an empty label"),
    ],
)
def test_addresses_that_could_never_be_dialled(url: str, words: str) -> None:
    assert words in undialable(url, guard=AddressGuard())


@pytest.mark.parametrize(
    "url",
    [
        "https://10.20.1.1",
        "http://10.20.1.1:13013",
        "http://kannel.internal:13013",
        "https://gateway.example/x",
    ],
)
def test_addresses_that_may_be_dialled_in_a_network_of_ones_own(url: str) -> None:
    assert undialable(url, guard=PRIVATE) == ""
