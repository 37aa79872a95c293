"""Settings as fresh processes see them: production refuses to start half-configured."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PRODUCTION = {
    "SECRET_KEY": "production-0123456789-abcdefghijklmnopqrstuvwxyz-ABCDEFG",
    "FIELD_KEY": "dGVzdHMgb25seSwgdGhpcnR5LXR3byBieXRlcyBsb24=",
    "DATABASE_URL": "postgresql://user:pa$s@db.example:5433/name",
    "PUBLIC_URL": "https://connector.example/",
}
SHOW = """
import json
from django.conf import settings as s
default = s.DATABASES["default"]
print(json.dumps({
  "url": s.PUBLIC_URL, "hosts": s.ALLOWED_HOSTS, "redirect": s.SECURE_SSL_REDIRECT, "secret": s.SECRET_KEY,
  "age": default["CONN_MAX_AGE"], "options": default["OPTIONS"], "name": default["NAME"],
  "cursors": default["DISABLE_SERVER_SIDE_CURSORS"], "password": default["PASSWORD"],
  "lease": s.ROW_LEASE, "alt": s.Q_CLUSTER["ALT_CLUSTERS"],
}))
"""


def run(code: str | list[str], tmp_path: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run Python code, or manage.py with arguments, under only these settings."""
    command = ["-c", code] if isinstance(code, str) else ["manage.py", *code]
    base = {
        "PATH": os.environ["PATH"],
        "ENV_FILE": "",
        "DATA_DIR": str(tmp_path),
        "DJANGO_SETTINGS_MODULE": "connector.settings",
    }
    return subprocess.run(
        [sys.executable, *command],
        env=base | environ,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    "absent",
    [
        pytest.param(["SECRET_KEY"], id="secret key"),
        pytest.param(["FIELD_KEY"], id="field key"),
        pytest.param(["DATABASE_URL"], id="database"),
        pytest.param(["PUBLIC_URL"], id="public url"),
        pytest.param(list(PRODUCTION), id="all at once"),
    ],
)
def test_production_refuses_to_start_and_names_what_is_missing(tmp_path: Path, absent: list[str]) -> None:
    environ = {name: value for name, value in PRODUCTION.items() if name not in absent}
    done = run(["check"], tmp_path, **environ)
    assert done.returncode == 1
    assert f"Not started: {', '.join(absent)} must be set" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("query", "options"),
    [
        pytest.param("", ["2", "5", "2", "3", "8000"], id="defaults"),
        pytest.param("?keepalives_idle=60&connect_timeout=9", ["9", "60", "2", "3", "8000"], id="overridden"),
    ],
)
def test_a_silent_database_has_limits_that_its_address_overrides(
    tmp_path: Path, query: str, options: list[str]
) -> None:
    address = PRODUCTION["DATABASE_URL"] + query
    found = json.loads(run(SHOW, tmp_path, **PRODUCTION | {"DATABASE_URL": address}).stdout)["options"]
    limits = ("connect_timeout", "keepalives_idle", "keepalives_interval", "keepalives_count")
    assert [str(found[name]) for name in (*limits, "tcp_user_timeout")] == options


def test_values_of_the_wrong_form_are_all_named(tmp_path: Path) -> None:
    wrong = {
        "PORT": "eighty",
        "WEB_THREADS": "0",
        "LOG_LEVEL": "LOUD",
        "DATABASE_URL": "mysql://user:pa$s@db/name",
    }
    done = run(["check"], tmp_path, **PRODUCTION | wrong)
    assert done.returncode == 1
    for name in wrong:
        assert name in done.stderr
    assert "pa$s" not in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["web", "worker", "reconcile"])
def test_what_skips_other_checks_runs_ours(tmp_path: Path, command: str) -> None:
    done = run([command], tmp_path, **PRODUCTION | {"FIELD_KEY": "not-a-key"})
    assert done.returncode == 1
    assert "connector.E004" in done.stderr
    assert "Traceback" not in done.stderr


def test_production_settings(tmp_path: Path) -> None:
    found = json.loads(run(SHOW, tmp_path, **PRODUCTION).stdout)
    assert found["url"] == "https://connector.example"
    assert found["hosts"] == ["connector.example"]
    assert (found["name"], found["password"]) == ("name", "pa$s")
    assert (found["age"], found["cursors"], found["lease"], found["alt"]) == (600, False, 60.0, {})
    assert found["options"]["options"] == "-c idle_in_transaction_session_timeout=60s"
    assert "pool" not in found["options"]
    assert found["redirect"] is False


def test_the_web_process_has_a_pool_and_a_statement_timeout(tmp_path: Path) -> None:
    found = json.loads(run(SHOW, tmp_path, **PRODUCTION, DB_POOL="4", TRUSTED_PROXIES="1").stdout)
    assert found["age"] == 0
    assert found["options"]["pool"] == {"min_size": 2, "max_size": 4, "timeout": 2}
    assert found["options"]["options"].endswith("-c statement_timeout=5s")
    assert found["redirect"] is True


def test_a_pooler_gets_no_startup_options_and_no_server_side_cursors(tmp_path: Path) -> None:
    found = json.loads(run(SHOW, tmp_path, **PRODUCTION, DATABASE_POOLER="1").stdout)
    assert "options" not in found["options"]
    assert found["cursors"] is True


def test_a_worker_has_a_queue_of_its_own(tmp_path: Path) -> None:
    found = json.loads(run(SHOW, tmp_path, **PRODUCTION, Q_CLUSTER_NAME="w1").stdout)
    assert found["alt"] == {"w1": {}}
    code = (
        "import django; django.setup(); from django_q.conf import Conf; print(Conf.CLUSTER_NAME, Conf.PREFIX)"
    )
    assert run(code, tmp_path, **PRODUCTION, Q_CLUSTER_NAME="w1").stdout == "w1 connector\n"


def test_development_makes_its_keys_once_and_keeps_them_private(tmp_path: Path) -> None:
    first = json.loads(run(SHOW, tmp_path, DEBUG="1").stdout)
    second = json.loads(run(SHOW, tmp_path, DEBUG="1").stdout)
    assert first["secret"] == second["secret"]
    assert len(first["secret"]) >= 50
    assert stat.S_IMODE((tmp_path / "dev.env").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["dev.env"]
    assert first["url"] == "http://127.0.0.1:8000"


def test_the_environment_wins_over_the_file_and_a_dollar_stays(tmp_path: Path) -> None:
    file = tmp_path / "settings.env"
    file.write_text("SECRET_KEY=${PATH}$x\nPORT=9000\nPUBLIC_URL=https://file.example\n")
    environ = {name: PRODUCTION[name] for name in ("FIELD_KEY", "DATABASE_URL", "PUBLIC_URL")}
    found = json.loads(run(SHOW, tmp_path, **environ, **{"ENV_FILE": str(file)}).stdout)
    assert found["secret"] == "${PATH}$x"
    assert found["url"] == "https://connector.example"


def test_the_deployment_checks_are_clean(tmp_path: Path) -> None:
    for proxies in ("0", "1"):
        command = ["check", "--deploy", "--fail-level", "WARNING"]
        done = run(command, tmp_path, **PRODUCTION, TRUSTED_PROXIES=proxies)
        assert done.returncode == 0, done.stderr
