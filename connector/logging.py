"""Logs: one JSON object per line (plain lines with DEBUG=1), with the record's `extra`: tenant, message_id …

Long digit runs are masked in every line unless LOG_PII=1, so that a number in an exception's text does not
leak; secrets are masked always. A message's text has no shape: `extra` fields are dropped by name.
"""

import json
import logging
import logging.config
import re
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

from connector.failures import is_machine_path

# What every record has; the rest of its attributes came with `extra`.
STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
TEXTS = frozenset({"text", "body", "content", "subject", "fallback_text", "custom_data", "payload"})
NAMES = frozenset({"worker", "run_by"})  # of processes: digits in them are no number of a person
NUMBER = re.compile(
    r"(?P<keep>\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b|\b[0-9a-f]{32}\b)|\d{7,}",
    re.IGNORECASE,
)
# Bounded repetitions: whoever is logged chose the text, and without bounds it takes the square of its length.
SECRET = re.compile(
    r"(?P<scheme>://)[^/@\s:]*:[^/@\s]+(?=@)"
    r"|\beyJ[\w-]{1,2000}\.[\w-]+\.[\w-]+"
    r"|\bgAAAA[\w-]{20,}={0,2}"
    r"|(?P<name>\b[\w-]{0,64}(?:token|secret|password|passwd|api[_-]?key|authorization|field_key|secret_key)\b"
    r"[\"']?\s*[:=]\s*[\"']?)(?:(?:Bearer|Basic)\s+)?[^\s\"',;&}]+",
    re.IGNORECASE,
)
MASK = "***"


def configure(options: dict[str, Any]) -> None:
    """Django's LOGGING_CONFIG. `options`: level, pii (show numbers and texts), console (plain lines)."""
    formatter = ConsoleFormatter if options["console"] else JsonFormatter
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"line": {"()": formatter, "pii": options["pii"]}},
            "filters": {
                "people": {"()": lambda: is_about_people},
                "brief": {"()": lambda: without_a_refusals_traceback},
            },
            "handlers": {
                "stderr": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["brief"]},
                "none": {"class": "logging.NullHandler"},
            },
            "root": {"handlers": ["stderr"], "level": options["level"]},
            "loggers": {
                "django": {"handlers": [], "propagate": True},
                "django.request": {"filters": ["people"]},
                "django.server": {"handlers": [], "propagate": True},
                # With a handler of its own it would not add its plain-text one.
                "django-q": {"handlers": ["none"], "propagate": True},
            },
        }
    )


def is_about_people(record: logging.LogRecord) -> bool:
    """False for Django's line about a refused request of a machine: it has no reason, where our counters do, and a
    hook's path is its secret. Faults of ours are logged where they are caught."""
    request = getattr(record, "request", None)
    return request is None or not is_machine_path(request.path_info)


def without_a_refusals_traceback(record: logging.LogRecord) -> bool:
    """Takes the traceback off Django's line about a refused request (403, an unknown host, too many fields): a stranger
    causes it, and it is no fault of ours."""
    if record.name.startswith("django.") and getattr(record, "status_code", 500) < 500:
        record.exc_info = None
    return True


def masked(text: str, *, pii: bool) -> str:
    """`text` without secrets and, unless `pii`, without digit runs of seven and more outside UUIDs."""
    text = SECRET.sub(lambda m: f"{m['scheme'] or m['name'] or ''}{MASK}", text)
    return text if pii else NUMBER.sub(lambda m: m["keep"] or MASK, text)


class JsonFormatter(logging.Formatter):
    """One record as one line of JSON: time (UTC), level, logger, message, the extras, a traceback if any."""

    def __init__(self, *, pii: bool) -> None:
        super().__init__()
        self.pii = pii

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": masked(record.getMessage(), pii=self.pii),
            **self.extras(record),
        }
        if record.exc_info:
            line["traceback"] = masked(self.formatException(record.exc_info), pii=self.pii)
        return json.dumps(line, ensure_ascii=False)

    def extras(self, record: logging.LogRecord) -> dict[str, object]:
        """The plain values that came with `extra`; objects (a request, a model) are left out."""
        found = {name: value for name, value in vars(record).items() if name not in STANDARD}
        shown = {
            name: self._plain(name, value) for name, value in found.items() if self.pii or name not in TEXTS
        }
        return {name: value for name, value in shown.items() if value is not None}

    def _plain(self, name: str, value: object) -> object:
        if isinstance(value, bool | float):
            return value
        if isinstance(value, int):
            return value if self.pii or abs(value) < 10**6 else MASK
        if isinstance(value, UUID | date):
            return str(value)
        return (
            masked(f"{name}={value}", pii=self.pii or name in NAMES).removeprefix(f"{name}=")
            if isinstance(value, str)
            else None
        )


class ConsoleFormatter(JsonFormatter):
    """The same as a plain line, for people."""

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created).strftime("%H:%M:%S")
        extras = "".join(f" {name}={value}" for name, value in self.extras(record).items())
        line = (
            f"{time} {record.levelname:<7} {record.name}: {masked(record.getMessage(), pii=self.pii)}{extras}"
        )
        if record.exc_info:
            line += "\n" + masked(self.formatException(record.exc_info), pii=self.pii)
        return line
