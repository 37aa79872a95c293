"""What the settings must find in the environment, and what a development system makes for itself."""

import hashlib
import os
import secrets
from ipaddress import ip_network
from pathlib import Path
from urllib.parse import quote

from cryptography.fernet import Fernet
from django.core.exceptions import ImproperlyConfigured
from dotenv import dotenv_values, load_dotenv
from environs import ValidationError

LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
REMEDIES = {
    "SECRET_KEY": "a long random string; it signs sessions and queued tasks",
    "FIELD_KEY": "a Fernet key (urlsafe base64 of 32 bytes), or several with commas: the first encrypts",
    "DATABASE_URL": "postgresql://user:password@host:5432/name, PostgreSQL 15 or newer",
    "PUBLIC_URL": "the https:// address at which vendors and Bloomreach reach this connector",
}


def load_file(path: str | Path) -> None:
    """Read a .env file, if there is one, into the environment, which wins; "" reads none. A `$` is a `$`."""
    if str(path):
        load_dotenv(path, override=False, interpolate=False)


def refuse_missing(*, debug: bool) -> None:
    """Raise ImproperlyConfigured naming every required variable that is not set; DEBUG=1 requires none."""
    missing = [name for name in REMEDIES if not os.environ.get(name)]
    if missing and not debug:
        listed = "\n".join(f"  {name}: {REMEDIES[name]}" for name in missing)
        raise ImproperlyConfigured(
            f"Not started: {', '.join(missing)} must be set in the environment or in .env "
            f"(or DEBUG=1 for a development system with generated keys).\n{listed}"
        )


def refuse_no_networks(texts: list[str]) -> None:
    """Raise ValidationError naming what is no network."""
    for text in texts:
        try:
            ip_network(text.strip())
        except ValueError:
            raise ValidationError(
                f"{text.strip()!r} is no network; write 10.20.0.0/16, with commas between"
            ) from None


def load_development_keys(data_dir: Path) -> None:
    """Fill in SECRET_KEY and FIELD_KEY from `data_dir`/dev.env, made once with mode 600."""
    path = data_dir / "dev.env"
    if not path.exists():
        _generate(path)
    for name, value in dotenv_values(path, interpolate=False).items():
        os.environ.setdefault(name, value or "")


def development_database(data_dir: Path) -> str:
    """URL of the PostgreSQL that `make run` starts over `data_dir`: the same on every call, running or not."""
    return f"postgresql://postgres@{quote(str(socket_directory(data_dir)), safe='')}/connector"


def socket_directory(data_dir: Path) -> Path:
    """Where that server listens. Socket paths end at 107 bytes: named by a hash, not by the (long) data path."""
    digest = hashlib.sha256(str(data_dir.absolute()).encode()).hexdigest()[:16]
    return Path(f"/tmp/connector-pg-{digest}")  # noqa: S108  (nobody else may enter it: dev/embedded.py)


def _generate(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"dev.env.{os.getpid()}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(f"SECRET_KEY={secrets.token_urlsafe(48)}\nFIELD_KEY={Fernet.generate_key().decode()}\n")
    try:
        # A link never overwrites: of two processes that start at once, the second uses the first one's keys.
        os.link(draft, path)
    except FileExistsError:
        return
    finally:
        draft.unlink()
