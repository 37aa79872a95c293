"""The bucket behind accounts/limits.py: unlogged, since a crash may well forget how much was spent."""

from typing import ClassVar

from django.db import migrations

CREATE = """
CREATE UNLOGGED TABLE accounts_rate_bucket (
    tenant_id bigint PRIMARY KEY,
    tokens float8 NOT NULL,
    drawn float8 NOT NULL,
    refilled_at timestamptz NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
"""


class Migration(migrations.Migration):
    dependencies: ClassVar = [("accounts", "0001_initial")]

    operations: ClassVar = [migrations.RunSQL(CREATE, "DROP TABLE accounts_rate_bucket")]
