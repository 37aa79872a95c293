"""Partitioned tables, and how the hot ones are vacuumed (the figures behind it: docs/adr/0003)."""

from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import migrations

CONTENT = """
CREATE TABLE messaging_content (
    message_id uuid NOT NULL,
    created_at timestamptz NOT NULL,
    text text NOT NULL,
    subject text NOT NULL DEFAULT '',
    fallback_text text NOT NULL DEFAULT '',
    custom_data text NOT NULL DEFAULT '',
    callback_url text NOT NULL DEFAULT '',
    media jsonb NOT NULL DEFAULT '[]',
    metadata jsonb NOT NULL DEFAULT '{}',
    extra jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (message_id, created_at)
) PARTITION BY RANGE (created_at);
CREATE TABLE messaging_content_default PARTITION OF messaging_content DEFAULT;
"""

RAW = """
CREATE TABLE messaging_raw (
    id uuid NOT NULL,
    at timestamptz NOT NULL,
    kind varchar(8) NOT NULL,
    connection_id bigint,
    owner uuid,
    request text NOT NULL DEFAULT '',
    response text NOT NULL DEFAULT '',
    PRIMARY KEY (id, at)
) PARTITION BY RANGE (at);
CREATE INDEX messaging_raw_owner ON messaging_raw (owner) WHERE owner IS NOT NULL;
CREATE TABLE messaging_raw_default PARTITION OF messaging_raw DEFAULT;
"""

# Rows that change often leave room for their next version on the page; queues are vacuumed by count, not by share.
TUNING = """
ALTER TABLE messaging_message SET (fillfactor = 85, autovacuum_vacuum_scale_factor = 0.01);
ALTER TABLE messaging_event SET (fillfactor = 85, autovacuum_vacuum_scale_factor = 0.01);
ALTER TABLE messaging_lane SET
    (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
ALTER TABLE messaging_slot SET
    (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
ALTER TABLE messaging_inbox SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
"""
UNTUNING = """
ALTER TABLE messaging_message RESET (fillfactor, autovacuum_vacuum_scale_factor);
ALTER TABLE messaging_event RESET (fillfactor, autovacuum_vacuum_scale_factor);
ALTER TABLE messaging_lane RESET (fillfactor, autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold);
ALTER TABLE messaging_slot RESET (fillfactor, autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold);
ALTER TABLE messaging_inbox RESET (autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold);
"""


WEEK = "CREATE TABLE IF NOT EXISTS {0}_{1:%Y_%m_%d} PARTITION OF {0} FOR VALUES FROM ('{1} 00:00+00') TO ('{2} 00:00+00')"


def first_weeks(apps: Any, schema_editor: Any) -> None:
    """Rows of the first weeks need partitions before any worker makes them. A worker makes all later ones."""
    today = datetime.now(UTC).date()
    monday = today - timedelta(days=today.weekday())
    for table in ("messaging_content", "messaging_raw"):
        for start in (monday, monday + timedelta(weeks=1), monday + timedelta(weeks=2)):
            schema_editor.execute(WEEK.format(table, start, start + timedelta(weeks=1)))


class Migration(migrations.Migration):
    dependencies = [("messaging", "0001_initial"), ("django_q", "0001_initial")]

    operations = [
        migrations.RunSQL(CONTENT, "DROP TABLE messaging_content"),
        migrations.RunSQL(RAW, "DROP TABLE messaging_raw"),
        migrations.RunPython(first_weeks, migrations.RunPython.noop),
        migrations.RunSQL(TUNING, UNTUNING),
    ]
