"""Logs."""

from typing import Any
import logging.config


def configure(options: dict[str, Any]) -> None:
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "handlers": {"c": {"class": "logging.StreamHandler"}},
            "root": {"handlers": ["c"], "level": options["level"]},
        }
    )
