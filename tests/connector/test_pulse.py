"""systemd hears from a web process as long as the server answers, and no longer."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest
from django.conf import LazySettings

from connector import pulse
from tests.outbound.servers import reply, serving
from tests.waiting import free_port


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])  # noqa: S104
@pytest.mark.parametrize("status", ["200 OK", "400 Bad Request"])
def test_any_answer_is_a_sign_of_life(settings: LazySettings, host: str, status: str) -> None:
    with serving(reply(status=status)) as server:
        settings.HOST, settings.PORT = host, server.port
        assert pulse.answers() is True


def test_a_server_that_takes_the_connection_and_says_nothing_is_dead(
    settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulse, "PATIENCE", 0.2)
    with serving(lambda server, conn: server.stopping.wait(20) and None) as server:
        settings.HOST, settings.PORT = "127.0.0.1", server.port
        assert pulse.answers() is False
    settings.PORT = free_port()
    assert pulse.answers() is False


def test_systemd_hears_it(settings: LazySettings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(pulse, "EVERY", 0.01)
    dead = threading.Event()
    monkeypatch.setattr(pulse, "answers", lambda: not dead.is_set())
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        over = threading.Event()
        thread = threading.Thread(target=pulse._run, args=[over])
        thread.start()
        assert systemd.recv(100) == b"WATCHDOG=1"
        dead.set()
        systemd.settimeout(0.5)
        with pytest.raises(TimeoutError):
            while True:
                systemd.recv(100)
        over.set()
        thread.join(10)
