"""Django settings, from the environment (see .env.example). Production is the default."""

import os
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import dj_database_url
from django.core.exceptions import ImproperlyConfigured
from environs import Env, EnvValidationError, validate

from connector import environment

BASE_DIR = Path(__file__).resolve().parent.parent

environment.load_file(os.environ.get("ENV_FILE", BASE_DIR / ".env"))
env = Env(eager=False)
DEBUG: bool = env.bool("DEBUG", False)
DEMO: bool = env.bool("DEMO", False)
DATA_DIR = Path(os.environ.get("DATA_DIR") or BASE_DIR / ".data").absolute()
environment.refuse_missing(debug=DEBUG)
if DEBUG:
    environment.load_development_keys(DATA_DIR)

HOST: str = env.str("HOST", "127.0.0.1")
PORT: int = env.int("PORT", 8000, validate=validate.Range(1, 65535))
WEB_WORKERS: int = env.int("WEB_WORKERS", 2, validate=validate.Range(1, 64))
WEB_THREADS: int = env.int("WEB_THREADS", 2, validate=validate.Range(1, 64))
TRUSTED_PROXIES: int = env.int("TRUSTED_PROXIES", 0, validate=validate.Range(0, 10))
MAX_BODY: int = env.int("MAX_BODY", 1024 * 1024, validate=validate.Range(1024))
PUMPS: int = env.int("PUMPS", 2, validate=validate.Range(1, 64))
DISPATCH_THREADS: int = env.int("DISPATCH_THREADS", 32, validate=validate.Range(1, 512))
CALLBACK_THREADS: int = env.int("CALLBACK_THREADS", 16, validate=validate.Range(1, 512))
CALL_DEADLINE: float = env.float("CALL_DEADLINE", 15.0, validate=validate.Range(0.1))
METRICS_DIR = Path(os.environ.get("PROMETHEUS_MULTIPROC_DIR") or DATA_DIR / "metrics").absolute()
READY_MAX_AGE: float = env.float("READY_MAX_AGE", 300.0, validate=validate.Range(1))
LOG_LEVEL: str = env.str("LOG_LEVEL", "INFO", validate=validate.OneOf(environment.LOG_LEVELS))
LOG_PII: bool = env.bool("LOG_PII", False)
SECRET_KEY: str = env.str("SECRET_KEY")
FIELD_KEYS: list[str] = env.list("FIELD_KEY", subcast=str)
PUBLIC_URL: str = env.str("PUBLIC_URL", f"http://127.0.0.1:{PORT}")
# Private networks in which vendors' gateways may stand; nothing private is dialled beside them.
_allowed_networks: list[str] = env.list(
    "ALLOWED_NETWORKS", [], subcast=str, validate=environment.refuse_no_networks
)
STATIC_ROOT: str | None = env.str("STATIC_ROOT", None)
_pooler: bool = env.bool("DATABASE_POOLER", False)
_pool_size: int = env.int("DB_POOL", 0, validate=validate.Range(0, 256))
# Apps beside ours: a development system has the stand-ins, and an adapter of your own may come as one.
EXTRA_APPS: list[str] = env.list("EXTRA_APPS", ["dev", "simulator"] if DEBUG else [], subcast=str)
_more_hosts: list[str] = env.list("ALLOWED_HOSTS", [], subcast=str)
_database_url: str = env.str(
    "DATABASE_URL",
    environment.development_database(DATA_DIR / "pg"),
    validate=validate.Regexp(r"postgres(ql)?://", error="must begin with postgresql://"),
)
try:
    env.seal()
except EnvValidationError as _error:
    raise ImproperlyConfigured(f"Not started, settings of the wrong form: {_error.error_messages}") from None
PUBLIC_URL = PUBLIC_URL.rstrip("/")
ALLOWED_NETWORKS = tuple(ip_network(text.strip()) for text in _allowed_networks)

# One knob for the times: CALL_DEADLINE, seconds for a whole exchange (checked in checks.py).
ROW_LEASE = 4 * CALL_DEADLINE
DIAL_MARGIN = CALL_DEADLINE / 3  # of the lease, kept for recording: a claim too old for that is not dialled
UNKNOWN_OUTCOME_WAIT = 2 * CALL_DEADLINE
LOOKUP_GAP = 4 * CALL_DEADLINE
PROBE_EVERY = 20 * CALL_DEADLINE  # between two POSTs to a destination that refuses everything
PUMP_BOX = 20.0

INSTALLED_APPS = [
    "django.contrib.admin.apps.SimpleAdminConfig",  # urls.py finds the desks: only the web process shows any
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "django_q",
    "connector.apps.ConnectorConfig",
    "accounts.apps.AccountsConfig",
    "messaging.apps.MessagingConfig",
    *EXTRA_APPS,
]

# The first takes machine paths straight to their views: the others are the desk's.
MIDDLEWARE = [
    "connector.middleware.MachineMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "connector.middleware.ContentPolicyMiddleware",
    "connector.middleware.UnreadableMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "connector.urls"
WSGI_APPLICATION = "connector.wsgi.application"
APPEND_SLASH = True
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

# A pool in the web process only: forked queue processes would share its sockets. Elsewhere they last.
_startup = f"-c idle_in_transaction_session_timeout=60s{' -c statement_timeout=5s' if _pool_size else ''}"
_options: dict[str, Any] = {"application_name": "connector"}
if not _pooler:
    _options["prepare_threshold"] = 3  # hand-written statements are planned once per connection
    _options["options"] = _startup  # poolers refuse start-up options; there the database role carries them
if _pool_size:
    _options["pool"] = {"min_size": WEB_THREADS, "max_size": _pool_size, "timeout": 2}
DATABASES: dict[str, Any] = {
    "default": {
        **dj_database_url.parse(
            _database_url, engine="connector.postgresql", conn_max_age=0 if _pool_size else 600
        ),
        "DISABLE_SERVER_SIDE_CURSORS": _pooler,
    }
}
# A peer that vanished is noticed in about ten seconds. DATABASE_URL's query overrides these; connector/postgresql
# notices what TCP cannot.
_patience = {
    "connect_timeout": 2,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 8000,  # milliseconds
}
DATABASES["default"]["OPTIONS"] = {**_patience, **DATABASES["default"].get("OPTIONS", {}), **_options}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# django-q2 only wakes the pumps (ADR 2). Each worker has a queue of its own, named by Q_CLUSTER_NAME.
_queue = os.environ.get("Q_CLUSTER_NAME")
Q_CLUSTER: dict[str, Any] = {
    "name": "connector",  # the signing salt: a change deletes queued tasks
    "orm": "default",
    "broker_class": "messaging.worker.broker.Broker",
    "poll": 0.05,
    "workers": PUMPS,
    "bulk": 2,
    "queue_limit": 4,
    "timeout": 60,
    "retry": 300,
    "max_attempts": 1,
    "ack_failures": True,
    "save_limit": -1,
    "recycle": 5000,
    "max_rss": 400_000,
    "guard_cycle": 0.5,
    "catch_up": False,
    "scheduler": False,
    "log_level": "WARNING",
    "ALT_CLUSTERS": {_queue: {}} if _queue else {},
}

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "DEFAULT_PERMISSION_CLASSES": [],
    "DEFAULT_THROTTLE_CLASSES": [],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "UNAUTHENTICATED_USER": None,
    "UNAUTHENTICATED_TOKEN": None,
}

FORMS_URLFIELD_ASSUME_HTTPS = True  # Django 6's default already now
LANGUAGE_CODE = "en"
USE_I18N = False
USE_TZ = True
TIME_ZONE = "UTC"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]

STATIC_URL = "/static/"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedStaticFilesStorage"},
}
WHITENOISE_USE_FINDERS = STATIC_ROOT is None  # without collectstatic the admin's files come from the packages

_public = urlsplit(PUBLIC_URL)
ALLOWED_HOSTS = [
    _public.hostname or "",
    *_more_hosts,
    *(["localhost", "127.0.0.1", "[::1]"] if DEBUG else []),
]
CSRF_TRUSTED_ORIGINS = [f"{_public.scheme}://{_public.netloc}"]
DATA_UPLOAD_MAX_MEMORY_SIZE = MAX_BODY
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"
_https = _public.scheme == "https"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = _https
SESSION_COOKIE_AGE = int(timedelta(hours=12).total_seconds())
SECURE_HSTS_SECONDS = int(timedelta(days=365).total_seconds()) if _https else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = _https
SECURE_SSL_REDIRECT = bool(_https and TRUSTED_PROXIES)
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if TRUSTED_PROXIES else None
# Without a proxy that tells the scheme, a redirect to https would loop; the proxy redirects then.
SILENCED_SYSTEM_CHECKS = [] if SECURE_SSL_REDIRECT else ["security.W008"]

LOGGING_CONFIG = "connector.logging.configure"
LOGGING: dict[str, Any] = {"level": LOG_LEVEL, "pii": LOG_PII, "console": DEBUG}
