"""The guard in conftest.py: a test that leaves the machine fails."""

import socket

import pytest

from tests.conftest import NetworkError


def test_connections_elsewhere_are_refused() -> None:
    with socket.socket() as client, pytest.raises(NetworkError):
        client.connect(("192.0.2.1", 80))
    with socket.socket() as client, pytest.raises(NetworkError):
        client.connect_ex(("192.0.2.1", 80))


def test_loopback_is_allowed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as client:
        client.connect(server.getsockname())
