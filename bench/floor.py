"""The bare floor: the same durable INSERT behind the same server, without a framework and without any check.

A WSGI function that granian serves as it serves the connector. What the API costs more than this is the price
of authentication, validation, routing by sender, segment counting and Django itself.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

import orjson
from psycopg.types.json import Jsonb
from psycopg_pool import ConnectionPool

from messaging.rules.ids import uuid7
from messaging.watch import processes

processes.end_with_web_server()

# Every column that the accept statement writes; the clock is read once there too.
INSERT = """
WITH m AS (
  INSERT INTO messaging_message (id, tenant_id, channel, dedupe_key, request_id, account_id, queue_id,
    sender, send_from, recipient, send_as, is_test, segments, country, state, due_at, attempts, expires_at, created_at)
  SELECT %(id)s, %(tenant)s, 'sms', %(request_id)s::text, %(request_id)s::text, %(account)s, %(queue)s,
    %(from)s, '', %(to)s, 'sms', false, 1, '', 0, clock.now, 0, clock.now + interval '4 hours', clock.now
  FROM (SELECT clock_timestamp() AS now) clock
  RETURNING id, created_at)
INSERT INTO messaging_content (message_id, created_at, text, subject, fallback_text, custom_data,
  callback_url, media, metadata, extra)
SELECT m.id, m.created_at, %(text)s, '', '', %(custom_data)s, %(callback_url)s, '[]', %(metadata)s, %(extra)s
FROM m RETURNING message_id
"""

StartResponse = Callable[[str, list[tuple[str, str]]], object]


def _pool() -> ConnectionPool:
    """As many connections as the process has threads, with the connector's own options."""
    size = int(os.environ["FLOOR_THREADS"])
    return ConnectionPool(
        os.environ["DATABASE_URL"],
        min_size=size,
        max_size=size,
        open=True,
        kwargs={"autocommit": True, "prepare_threshold": 3},
    )


_ROUTE = {name: int(os.environ[f"FLOOR_{name.upper()}"]) for name in ("tenant", "account", "queue")}
_POOL = _pool()


def application(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
    """POST: one message, committed. GET: says that it is there."""
    if environ["REQUEST_METHOD"] != "POST":
        return _answer(start_response, {"status": "ok"})
    body = orjson.loads(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
    message_id = uuid7()
    extra = Jsonb({"from": body["from"], "to": body["to"]}, dumps=orjson.dumps)
    metadata = Jsonb(body["metadata"], dumps=orjson.dumps)
    with _POOL.connection() as connection:
        connection.execute(INSERT, {**body, **_ROUTE, "id": message_id, "metadata": metadata, "extra": extra})
    answer = {
        "status": "accepted",
        "message_id": str(message_id),
        "request_id": body["request_id"],
        "duplicate": False,
    }
    return _answer(start_response, answer)


def _answer(start_response: StartResponse, body: dict[str, Any]) -> Iterable[bytes]:
    content = orjson.dumps(body)
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(content)))]
    start_response("200 OK", headers)
    return [content]
