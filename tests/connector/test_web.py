"""`manage.py web` as a real process: it serves, refuses a taken port, drains on SIGTERM and leaves no orphans."""

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from django.conf import LazySettings, settings
from django.contrib.staticfiles import finders
from django.core.management import CommandError, call_command
from django.db import connection

from connector.management.commands import web
from messaging.watch import processes
from tests import databases
from tests.disks import full
from tests.waiting import WAITS_FOR_ME, answers, eventually, free_port

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.process, pytest.mark.slow]


def database_url() -> str:
    """The test database's, for another process."""
    return databases.url(connection.settings_dict["NAME"])


def serve(port: int, *arguments: str, cwd: Path = ROOT, **environ: str) -> subprocess.Popen[str]:
    command = [sys.executable, "manage.py", "web", *arguments]
    environment = (
        os.environ | {"PORT": str(port), "WEB_WORKERS": "1", "DATABASE_URL": database_url()} | environ
    )
    return subprocess.Popen(
        command, cwd=cwd, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def kill_group(process: subprocess.Popen[str]) -> None:
    """Whatever a test left, orphans too: one of these would hold the pipe open."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def get(port: int, path: str) -> tuple[int, bytes]:
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    client.request("GET", path, headers={"Host": "connector.example", "Connection": "close"})
    answer = client.getresponse()
    return answer.status, answer.read()


def somebody_listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def server(transactional_db: None, port: int) -> Iterator[subprocess.Popen[str]]:
    process = serve(port, WEB_WORKERS="2")
    eventually(lambda: answers(f"http://127.0.0.1:{port}/healthz"))
    yield process
    kill_group(process)


OTHERS = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"


def others() -> int:
    """How many connections the server under test has open."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) {OTHERS}")
        (count,) = cursor.fetchone()
        return int(count)


def test_its_processes_have_pools_that_heal_and_share_their_counters(
    server: subprocess.Popen[str], port: int
) -> None:
    status, body = get(port, "/readyz")
    assert (status, b'"migrated": true' in body) == (503, True)
    # A pool is opened by its process's first request.
    eventually(lambda: get(port, "/readyz") and others() >= 2 * settings.WEB_THREADS)

    with connection.cursor() as cursor:
        cursor.execute(f"SELECT pg_terminate_backend(pid, 10000) {OTHERS}")
        gone = cursor.fetchall()
    assert len(gone) >= 2 * settings.WEB_THREADS
    assert set(gone) == {(True,)}  # they are gone, not just told to go

    for _ in range(20):
        assert get(port, "/hooks/simulator/nobody-knows-this")[0] == 404
    lines = get(port, "/metrics")[1].decode().splitlines()
    assert 'connector_hooks_refused_total{reason="unknown"} 20.0' in lines
    assert "connector_ready 0.0" in lines

    server.kill()
    eventually(lambda: not somebody_listens(port))  # no process stays behind


def test_a_streamed_answer_arrives_whole(server: subprocess.Popen[str], port: int) -> None:
    """Files come piece by piece, through the loop; the largest has some hundred kilobytes."""
    name = "admin/js/vendor/jquery/jquery.js"
    found = finders.find(name)
    assert get(port, f"/static/{name}") == (200, Path(str(found)).read_bytes())


def test_a_request_in_flight_is_answered_after_sigterm(server: subprocess.Popen[str], port: int) -> None:
    answered: list[tuple[int, bytes]] = []
    with psycopg.connect(database_url()) as blocker:
        blocker.execute("LOCK TABLE messaging_slot IN ACCESS EXCLUSIVE MODE")
        client = threading.Thread(target=lambda: answered.append(get(port, "/readyz")))
        client.start()
        eventually(lambda: blocker.execute(WAITS_FOR_ME).fetchone())
        server.send_signal(signal.SIGTERM)
        eventually(lambda: not somebody_listens(port))
        assert answered == []
    client.join(timeout=30)
    assert server.wait(timeout=30) == 0
    assert [status for status, _ in answered] == [503]
    assert b"no pump is alive" in answered[0][1]


def members(group: int) -> list[str]:
    """Processes of the group that still run."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, its_group = stat.read_text().rpartition(")")[2].split()[:3]
            if int(its_group) == group and state != "Z":
                found.append(stat.parent.name)
    return found


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux: PR_SET_PDEATHSIG")
def test_no_process_outlives_a_killed_server(server: subprocess.Popen[str], port: int) -> None:
    with psycopg.connect(database_url()) as blocker:
        blocker.execute("LOCK TABLE messaging_slot IN ACCESS EXCLUSIVE MODE")
        with socket.create_connection(("127.0.0.1", port)) as asking:
            asking.sendall(b"GET /readyz HTTP/1.1\r\nHost: connector.example\r\n\r\n")
            eventually(lambda: blocker.execute(WAITS_FOR_ME).fetchone())
            server.kill()
            eventually(lambda: members(server.pid) == [], within=10, what=lambda: str(members(server.pid)))


def test_a_full_disk_kills_no_process(transactional_db: None, port: int, tmp_path: Path) -> None:
    """Logs and metrics lie on it; anybody's request is counted."""
    with full(tmp_path) as disk:
        process = serve(port, PROMETHEUS_MULTIPROC_DIR=str(disk))
        try:
            eventually(lambda: answers(f"http://127.0.0.1:{port}/healthz"))
            for _ in range(5):
                assert get(port, "/hooks/simulator/nobody-knows-this")[0] == 404
                assert get(port, "/metrics")[0] == 200
        finally:
            kill_group(process)
        assert [path.name for path in disk.iterdir()] == ["fill"]


@pytest.mark.django_db
def test_a_taken_port_is_refused_by_name(port: int) -> None:
    with socket.create_server(("127.0.0.1", port)):
        process = serve(port)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert f"Cannot listen on 127.0.0.1:{port} (Address already in use). Set PORT (or HOST)." in errors
    assert "Traceback" not in errors


def test_changed_code_is_served_and_broken_code_does_not_end_the_server(
    transactional_db: None, port: int, tmp_path: Path
) -> None:
    for name in web.WATCHED:
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "manage.py", tmp_path)
    health = tmp_path / "connector/health.py"
    code = health.read_text()
    process = serve(port, "--reload", cwd=tmp_path, DEBUG="1", EXTRA_APPS="simulator")
    try:
        eventually(lambda: body_of(port, "/healthz") == b'{"status": "ok"}')
        for words in ("fine", "better"):
            health.write_text("nonsense(")
            time.sleep(0.5)  # long enough to be seen as a change of its own
            health.write_text(code.replace('"status": "ok"', f'"status": "{words}"'))
            eventually(lambda words=words: words.encode() in body_of(port, "/healthz"))
    finally:
        kill_group(process)


def body_of(port: int, path: str) -> bytes:
    """What is answered there now; nothing while nobody listens."""
    try:
        return get(port, path)[1]
    except OSError:
        return b""


@pytest.mark.parametrize(
    ("debug", "installed", "said"),
    [
        pytest.param(False, True, "it needs DEBUG=1", id="production"),
        pytest.param(True, False, "needs the package watchfiles", id="not installed"),
    ],
)
def test_where_code_is_not_watched(
    settings: LazySettings, monkeypatch: pytest.MonkeyPatch, debug: bool, installed: bool, said: str
) -> None:
    settings.DEBUG = debug
    monkeypatch.setattr(web, "find_spec", lambda name: object() if installed else None)
    with pytest.raises(CommandError, match=said):
        call_command("web", reload=True)


@pytest.mark.parametrize(
    ("age", "said"),
    [pytest.param(5, False, id="with its server"), pytest.param(60, True, id="in the place of another")],
)
def test_a_process_that_replaces_another_says_so(transactional_db: None, age: int, said: bool) -> None:
    environment = os.environ | {
        "DATABASE_URL": database_url(),
        "DB_POOL": "1",
        processes.WEB_SERVER_BEGAN: str(time.time() - age),
    }
    done = subprocess.run(
        [sys.executable, "-c", "import connector.wsgi"],
        cwd=ROOT,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=True,
    )
    lines = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    assert [line["message"] for line in lines] == ["web process started again"] * said
