"""The commands: what they refuse, and the whole demo once."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from dev import embedded
from dev.management.commands.run import refuse_taken_ports
from simulator.listener import port_is_free
from tests.waiting import eventually, free_port

ROOT = Path(__file__).resolve().parents[2]


def test_the_carrier_is_for_development(settings) -> None:
    settings.DEBUG = settings.DEMO = False
    with pytest.raises(CommandError, match="DEBUG=1"):
        call_command("carrier")


def test_the_demo_is_for_development(settings) -> None:
    settings.DEBUG = False
    with pytest.raises(CommandError, match="DEBUG=1"):
        call_command("run")


@pytest.mark.django_db
def test_a_campaign_needs_to_know_whom_to_talk_to(settings, tmp_path: Path) -> None:
    settings.DATA_DIR = tmp_path
    with pytest.raises(CommandError, match="--base-url, --token, --secret, --carrier-url"):
        call_command("simulate")


@pytest.mark.django_db
def test_a_campaign_needs_a_token_of_this_database(settings, tmp_path: Path) -> None:
    settings.DATA_DIR = tmp_path
    with pytest.raises(CommandError, match="no tenant of this database"):
        call_command(
            "simulate", base_url="http://127.0.0.1:1", token="t", secret="s", carrier_url="http://127.0.0.1:1"
        )


@pytest.mark.parametrize("name", ["PORT", "CARRIER_PORT", "BLOOMREACH_PORT"])
def test_a_taken_port_is_said_with_its_variable(settings, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    free = {variable: free_port() for variable in ("PORT", "CARRIER_PORT", "BLOOMREACH_PORT")}
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ports = free | {name: taken.getsockname()[1]}
        settings.PORT = ports["PORT"]
        monkeypatch.setenv("CARRIER_PORT", str(ports["CARRIER_PORT"]))
        monkeypatch.setenv("BLOOMREACH_PORT", str(ports["BLOOMREACH_PORT"]))
        with pytest.raises(CommandError, match=rf"Port {ports[name]} is taken\. Set {name} "):
            refuse_taken_ports()
    refuse_taken_ports()


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    place = tmp_path / "data"
    ports = {name: str(free_port()) for name in ("PORT", "CARRIER_PORT", "BLOOMREACH_PORT")}
    cleared = {"DATABASE_URL", "PUBLIC_URL", "CALL_DEADLINE", "CARRIER_KEY"}
    inherited = {name: value for name, value in os.environ.items() if name not in cleared}
    yield inherited | ports | {"ENV_FILE": "", "DEBUG": "1", "DEMO": "1", "DATA_DIR": str(place)}
    embedded.destroy(place / "pg")


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.timeout(240)
def test_the_demo_plays_serves_and_leaves_nothing_behind(environment: dict[str, str], tmp_path: Path) -> None:
    command = [sys.executable, "manage.py", "run", "--calm", "--sms", "3", "--mms", "1"]
    output = tmp_path / "output"
    with output.open("wb") as out:
        demo = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=out, stderr=out)
    try:
        eventually(lambda: demo.poll() is not None or "Still serving" in output.read_text(), within=200)
        assert demo.poll() is None, output.read_text()
        children = children_of(demo.pid)
        demo.send_signal(signal.SIGTERM)
        assert demo.wait(60) == 0, output.read_text()
    finally:
        if demo.poll() is None:
            demo.kill()
            demo.wait()
    text = output.read_text()
    for line in ("forgotten 0 ", "sent twice 0 ", "unaccounted 0 ", "database: stopped"):
        assert line in text
    facts = json.loads((Path(environment["DATA_DIR"]) / "demo.json").read_text())
    assert facts["base_url"] == f"http://127.0.0.1:{environment['PORT']}"
    assert facts["token"] in text
    assert len(children) == 3
    assert [pid for pid in children if Path(f"/proc/{pid}").exists()] == []
    assert all(port_is_free(int(environment[name])) for name in ("PORT", "CARRIER_PORT", "BLOOMREACH_PORT"))


def children_of(pid: int) -> list[int]:
    listed = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False
    )
    return [int(line) for line in listed.stdout.split()]
