"""The embedded PostgreSQL: start, use, stop, and what a kill -9 leaves behind."""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from dev import embedded

pytestmark = [pytest.mark.process, pytest.mark.slow]
FAST = {"fsync": "off"}


@pytest.fixture
def data_dir() -> Iterator[Path]:
    scratch = Path(tempfile.mkdtemp(prefix="connector-embedded-"))
    scratch.chmod(0o755)
    yield scratch / "pg"
    embedded.destroy(scratch / "pg")
    shutil.rmtree(scratch)


@pytest.fixture(scope="module")
def mould() -> Iterator[Path]:
    """A server's data, made once: `initdb` takes two seconds."""
    scratch = Path(tempfile.mkdtemp(prefix="connector-mould-"))
    scratch.chmod(0o755)
    embedded.start(scratch / "pg", settings=FAST)
    embedded.stop(scratch / "pg")
    yield scratch / "pg"
    embedded.destroy(scratch / "pg")
    shutil.rmtree(scratch)


@pytest.fixture
def cast_dir(mould: Path, data_dir: Path) -> Path:
    """Where such data lie already."""
    subprocess.run(["cp", "-a", mould, data_dir], check=True)
    return data_dir


def ask(url: str, query: str) -> str:
    with psycopg.connect(url, autocommit=True, connect_timeout=5) as connection:
        cursor = connection.execute(query.encode())
        row = cursor.fetchone() if cursor.description else None
    return str(row[0]) if row else ""


def postmaster(home: Path) -> int:
    return int((home / "postmaster.pid").read_text().split("\n", 1)[0])


def test_a_server_is_started_once_stopped_and_keeps_its_data(data_dir: Path) -> None:
    assert embedded.is_running(data_dir) is False
    url = embedded.start(data_dir, settings=FAST)
    assert url == embedded.url(data_dir)
    assert embedded.is_running(data_dir) is True
    ask(url, "CREATE TABLE kept AS SELECT 42 AS n")
    pid = postmaster(data_dir)
    assert embedded.start(data_dir, settings=FAST) == url
    assert postmaster(data_dir) == pid
    embedded.stop(data_dir)
    assert embedded.is_running(data_dir) is False
    embedded.stop(data_dir)
    embedded.start(data_dir)
    assert ask(url, "SELECT n FROM kept") == "42"


def test_the_settings_of_the_server(cast_dir: Path) -> None:
    url = embedded.start(cast_dir, settings={"synchronous_commit": "off"})
    assert ask(url, "SHOW fsync") == "on"
    assert ask(url, "SHOW synchronous_commit") == "off"
    assert ask(url, "SHOW max_connections") == "200"
    assert ask(url, "SHOW listen_addresses") == ""
    assert int(ask(url, "SHOW server_version_num")) >= 150000


def test_a_killed_server_starts_again_with_its_data(cast_dir: Path) -> None:
    url = embedded.start(cast_dir, settings=FAST)
    ask(url, "CREATE TABLE kept AS SELECT 42 AS n")
    os.kill(postmaster(cast_dir), signal.SIGKILL)
    assert embedded.start(cast_dir, settings=FAST) == url
    assert ask(url, "SELECT n FROM kept") == "42"


def test_a_pid_file_that_names_another_program_is_not_heeded(cast_dir: Path) -> None:
    url = embedded.start(cast_dir, settings=FAST)
    embedded.stop(cast_dir)
    stranger = subprocess.Popen(["sleep", "60"])
    try:
        (cast_dir / "postmaster.pid").write_text(f"{stranger.pid}\n{cast_dir}\n")
        embedded.stop(cast_dir)
        assert stranger.poll() is None
        embedded.start(cast_dir, settings=FAST)
        assert ask(url, "SELECT 1") == "1"
    finally:
        stranger.kill()
        stranger.wait()


def test_a_long_path_still_has_a_short_socket(data_dir: Path) -> None:
    deep = data_dir / ("x" * 120) / "pg"
    try:
        assert ask(embedded.start(deep, settings=FAST), "SELECT 1") == "1"
    finally:
        embedded.destroy(deep)


def test_an_interrupted_initdb_is_done_again(data_dir: Path) -> None:
    version = subprocess.check_output([embedded.bin_dir() / "postgres", "--version"], text=True).split()[2]
    data_dir.mkdir()
    (data_dir / "PG_VERSION").write_text(version.split(".")[0] + "\n")
    (data_dir / "base").mkdir()
    assert ask(embedded.start(data_dir, settings=FAST), "SELECT 1") == "1"


def test_data_of_another_version_is_refused_by_name(data_dir: Path) -> None:
    data_dir.mkdir()
    (data_dir / "PG_VERSION").write_text("9.6\n")
    with pytest.raises(embedded.EmbeddedError, match=r"holds PostgreSQL 9\.6 data and the binaries are 1\d"):
        embedded.start(data_dir)


def test_binaries_that_are_not_there_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TEST_PG_BIN", str(tmp_path))
    with pytest.raises(embedded.EmbeddedError, match="no initdb in"):
        embedded.bin_dir()


def test_a_socket_folder_of_somebody_else_is_refused(data_dir: Path, tmp_path: Path) -> None:
    embedded.socket_directory(data_dir).symlink_to(tmp_path)
    try:
        with pytest.raises(embedded.EmbeddedError, match="belongs to another user"):
            embedded.start(data_dir)
    finally:
        embedded.socket_directory(data_dir).unlink()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts servers for another user")
def test_root_below_a_closed_folder_keeps_the_data_in_tmp(
    data_dir: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    data_dir.mkdir()
    closed = data_dir / "home"
    closed.mkdir(mode=0o700)
    try:
        url = embedded.start(closed / "pg", settings=FAST)
        assert ask(url, "SELECT 1") == "1"
        assert "cannot enter" in capfd.readouterr().err
        assert closed.stat().st_mode & 0o777 == 0o700
        owner = (embedded.socket_directory(closed / "pg") / "data").stat().st_uid
        assert owner != 0
    finally:
        embedded.destroy(closed / "pg")
    assert not embedded.socket_directory(closed / "pg").exists()
