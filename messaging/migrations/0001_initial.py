"""The tables. What Django cannot say follows them: partitioned tables, and how the hot ones are vacuumed (the figures
behind it: docs/adr/0003). `makemigrations` does not see those; it sees the models that read them as unmanaged."""

import datetime
from datetime import UTC, timedelta
from typing import Any

import django.contrib.postgres.fields
import django.core.validators
import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

import accounts.crypto
import messaging.models.provider_account
import messaging.rules.ids

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

EXCHANGE = """
CREATE TABLE messaging_exchange (
    id uuid NOT NULL,
    at timestamptz NOT NULL,
    kind varchar(8) NOT NULL,
    account_id bigint,
    owner uuid,
    request text NOT NULL DEFAULT '',
    response text NOT NULL DEFAULT '',
    call text NOT NULL DEFAULT '',
    PRIMARY KEY (id, at)
) PARTITION BY RANGE (at);
CREATE INDEX messaging_exchange_owner ON messaging_exchange (owner) WHERE owner IS NOT NULL;
CREATE TABLE messaging_exchange_default PARTITION OF messaging_exchange DEFAULT;
"""

# Rows that change often leave room for their next version on the page; queues are vacuumed by count, not by share.
TUNING = """
ALTER TABLE messaging_message SET (fillfactor = 85, autovacuum_vacuum_scale_factor = 0.01);
ALTER TABLE messaging_event SET (fillfactor = 85, autovacuum_vacuum_scale_factor = 0.01);
ALTER TABLE messaging_queue SET
    (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
ALTER TABLE messaging_slot SET
    (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
ALTER TABLE messaging_inbox SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
"""
UNTUNING = """
ALTER TABLE messaging_message RESET (fillfactor, autovacuum_vacuum_scale_factor);
ALTER TABLE messaging_event RESET (fillfactor, autovacuum_vacuum_scale_factor);
ALTER TABLE messaging_queue RESET (fillfactor, autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold);
ALTER TABLE messaging_slot RESET (fillfactor, autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold);
ALTER TABLE messaging_inbox RESET (autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold);
"""


WEEK = "CREATE TABLE IF NOT EXISTS {0}_{1:%Y_%m_%d} PARTITION OF {0} FOR VALUES FROM ('{1} 00:00+00') TO ('{2} 00:00+00')"


def first_weeks(apps: Any, schema_editor: Any) -> None:
    """Rows of the first weeks need partitions before any worker makes them. A worker makes all later ones."""
    today = datetime.datetime.now(UTC).date()
    monday = today - timedelta(days=today.weekday())
    for table in ("messaging_content", "messaging_exchange"):
        for start in (monday, monday + timedelta(weeks=1), monday + timedelta(weeks=2)):
            schema_editor.execute(WEEK.format(table, start, start + timedelta(weeks=1)))


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("accounts", "0001_initial"),
    ]

    operations = [
        migrations.CreateModel(
            name="Message",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=messaging.rules.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("channel", models.CharField(choices=[("sms", "SMS"), ("mms", "MMS")], max_length=3)),
                ("dedupe_key", models.CharField(max_length=200, null=True)),
                ("request_id", models.CharField(blank=True, max_length=200)),
                ("sender", models.CharField(max_length=20)),
                ("recipient", models.CharField(max_length=20)),
                ("send_from", models.CharField(blank=True, db_default="", default="", max_length=20)),
                ("send_as", models.CharField(max_length=3)),
                ("is_test", models.BooleanField(db_default=False, default=False)),
                ("segments", models.SmallIntegerField(db_default=1, default=1)),
                ("country", models.CharField(blank=True, db_default="", max_length=2)),
                (
                    "state",
                    models.SmallIntegerField(
                        choices=[
                            (0, "accepted"),
                            (1, "sending"),
                            (2, "retrying"),
                            (3, "unknown_outcome"),
                            (4, "sent"),
                            (10, "delivered"),
                            (11, "undelivered"),
                            (12, "expired"),
                            (13, "rejected"),
                            (14, "failed"),
                            (15, "unconfirmed"),
                            (16, "cancelled"),
                            (17, "refused"),
                        ],
                        default=0,
                    ),
                ),
                ("due_at", models.DateTimeField()),
                ("lease", models.UUIDField(null=True)),
                ("attempts", models.SmallIntegerField(db_default=0, default=0)),
                ("expires_at", models.DateTimeField()),
                ("created_at", models.DateTimeField()),
                ("final_at", models.DateTimeField(null=True)),
                ("error_code", models.CharField(blank=True, db_default="", max_length=60)),
                ("replay_of", models.UUIDField(null=True)),
                (
                    "tenant",
                    models.ForeignKey(
                        db_index=False, on_delete=django.db.models.deletion.PROTECT, to="accounts.tenant"
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="Exchange",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=messaging.rules.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("at", models.DateTimeField()),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("hook", "vendor called us"),
                            ("call", "we handed a message over"),
                            ("lookup", "we asked a vendor about an attempt"),
                            ("post", "we posted events"),
                        ],
                        max_length=8,
                    ),
                ),
                ("owner", models.UUIDField(null=True)),
                ("request", models.TextField(blank=True)),
                ("response", models.TextField(blank=True)),
                ("call", accounts.crypto.SealedTextField(blank=True, db_default="")),
            ],
            options={
                "verbose_name_plural": "exchanges",
                "db_table": "messaging_exchange",
                "managed": False,
            },
        ),
        migrations.CreateModel(
            name="Destination",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "open_until",
                    models.DateTimeField(
                        db_default=datetime.datetime(2000, 1, 1, 0, 0, tzinfo=UTC),
                        default=datetime.datetime(2000, 1, 1, 0, 0, tzinfo=UTC),
                        editable=False,
                    ),
                ),
                ("open_for", models.FloatField(db_default=0, default=0, editable=False)),
                ("faults", models.PositiveIntegerField(db_default=0, default=0, editable=False)),
                (
                    "witnesses",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.BigIntegerField(),
                        db_default=[],
                        default=list,
                        editable=False,
                        size=None,
                    ),
                ),
                ("probes", models.PositiveSmallIntegerField(db_default=1, default=1, editable=False)),
                (
                    "last_fault",
                    models.CharField(blank=True, db_default="", default="", editable=False, max_length=300),
                ),
                ("failed_at", models.DateTimeField(editable=False, null=True)),
                ("ok_at", models.DateTimeField(editable=False, null=True)),
                ("kind", models.SmallIntegerField(choices=[(0, "callback"), (1, "inbound")])),
                ("key", models.CharField(max_length=32)),
                ("address", models.TextField()),
                (
                    "served_at",
                    models.DateTimeField(
                        db_default=datetime.datetime(2000, 1, 1, 0, 0, tzinfo=UTC),
                        default=datetime.datetime(2000, 1, 1, 0, 0, tzinfo=UTC),
                        editable=False,
                    ),
                ),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), editable=False
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="Content",
            fields=[
                (
                    "message",
                    models.OneToOneField(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        primary_key=True,
                        related_name="content",
                        serialize=False,
                        to="messaging.message",
                    ),
                ),
                ("created_at", models.DateTimeField()),
                ("text", models.TextField()),
                ("subject", models.TextField(blank=True, db_default="")),
                ("fallback_text", models.TextField(blank=True, db_default="")),
                ("custom_data", models.TextField(blank=True, db_default="")),
                ("callback_url", models.TextField(blank=True, db_default="")),
                ("media", models.JSONField(blank=True, db_default=[], default=list)),
                ("metadata", models.JSONField(blank=True, db_default={}, default=dict)),
                ("extra", models.JSONField(blank=True, db_default={}, default=dict)),
            ],
            options={
                "verbose_name_plural": "content",
                "db_table": "messaging_content",
                "managed": False,
            },
        ),
        migrations.CreateModel(
            name="Attempt",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=messaging.rules.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("n", models.SmallIntegerField()),
                ("send_as", models.CharField(max_length=3)),
                ("sender", models.CharField(blank=True, db_default="", max_length=20)),
                ("created_at", models.DateTimeField()),
                ("ended_at", models.DateTimeField(null=True)),
                (
                    "outcome",
                    models.CharField(
                        choices=[
                            ("taken", "taken"),
                            ("temporary", "temporary"),
                            ("permanent", "permanent"),
                            ("configuration", "configuration"),
                            ("unknown", "unknown"),
                            ("not_dialled", "not_dialled"),
                        ],
                        max_length=16,
                        null=True,
                    ),
                ),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("sent", "sent"),
                            ("delivered", "delivered"),
                            ("undelivered", "undelivered"),
                            ("expired", "expired"),
                            ("rejected", "rejected"),
                            ("unknown", "unknown"),
                        ],
                        max_length=16,
                        null=True,
                    ),
                ),
                ("code", models.CharField(blank=True, db_default="", max_length=60)),
                ("vendor_code", models.CharField(blank=True, db_default="", max_length=60)),
                ("text", models.CharField(blank=True, db_default="", max_length=300)),
                ("vendor_id", models.CharField(blank=True, db_default="", max_length=120)),
                ("parts", models.SmallIntegerField(db_default=1, default=1)),
                ("segments", models.SmallIntegerField(null=True)),
                ("poll_at", models.DateTimeField(null=True)),
                ("absences", models.SmallIntegerField(db_default=0, default=0)),
                ("frozen", accounts.crypto.SealedTextField(blank=True, db_default="", default="")),
                ("dialled", models.BooleanField(editable=False, null=True)),
                (
                    "message",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="tries",
                        to="messaging.message",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="ProviderAccount",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("name", models.CharField(max_length=100)),
                ("vendor", models.CharField(max_length=40)),
                (
                    "public_id",
                    models.CharField(
                        default=messaging.models.provider_account.new_public_id,
                        editable=False,
                        max_length=40,
                        unique=True,
                    ),
                ),
                ("secrets", accounts.crypto.SealedJSONField(default=dict)),
                ("settings", models.JSONField(blank=True, default=dict)),
                (
                    "channels",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=3),
                        default=messaging.models.provider_account.default_channels,
                        size=None,
                    ),
                ),
                (
                    "senders",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=20),
                        blank=True,
                        db_default=[],
                        default=list,
                        help_text="Sender numbers and names that this account owns; empty: any.",
                        size=None,
                    ),
                ),
                (
                    "sender_map",
                    models.JSONField(
                        blank=True,
                        db_default={},
                        default=dict,
                        help_text="Country prefix, or * for every other: the sender to use there when the request's own is not this account's.",
                    ),
                ),
                (
                    "position",
                    models.PositiveSmallIntegerField(
                        db_default=0, default=0, help_text="Lower is tried first."
                    ),
                ),
                ("is_active", models.BooleanField(db_default=True, default=True, verbose_name="active")),
                (
                    "unknown_policy",
                    models.CharField(
                        choices=[("at_most_once", "at most once"), ("at_least_once", "at least once")],
                        default="at_most_once",
                        help_text="What to do about a call that may or may not have been taken, when nothing else resolves it.",
                        max_length=16,
                    ),
                ),
                (
                    "validity",
                    models.DurationField(
                        default=datetime.timedelta(seconds=14400),
                        help_text="How long a message may wait before it is no longer worth sending.",
                    ),
                ),
                (
                    "report_deadline",
                    models.DurationField(
                        default=datetime.timedelta(days=3),
                        help_text="How long to wait for a delivery report.",
                    ),
                ),
                (
                    "poll_after",
                    models.DurationField(
                        blank=True,
                        help_text="Ask the vendor for the status of a message that has no report after this time; empty: never ask.",
                        null=True,
                    ),
                ),
                (
                    "fail_unconfirmed",
                    models.BooleanField(
                        db_default=False,
                        default=False,
                        help_text="Tell Bloomreach 'failed' when no report came by the deadline.",
                        verbose_name="report unconfirmed as failed",
                    ),
                ),
                ("checked_at", models.DateTimeField(blank=True, editable=False, null=True)),
                ("check_ok", models.BooleanField(editable=False, null=True)),
                ("check_text", models.CharField(blank=True, db_default="", editable=False, max_length=300)),
                (
                    "created_at",
                    models.DateTimeField(
                        auto_now_add=True, db_default=django.db.models.functions.datetime.Now()
                    ),
                ),
                (
                    "updated_at",
                    models.DateTimeField(auto_now=True, db_default=django.db.models.functions.datetime.Now()),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="accounts",
                        to="accounts.tenant",
                    ),
                ),
            ],
            options={
                "verbose_name": "provider account",
                "ordering": ["tenant", "position", "id"],
                "permissions": (("view_hook_address", "Can see hook addresses that are secrets"),),
            },
        ),
        migrations.AddField(
            model_name="message",
            name="account",
            field=models.ForeignKey(
                db_index=False, on_delete=django.db.models.deletion.PROTECT, to="messaging.provideraccount"
            ),
        ),
        migrations.CreateModel(
            name="InboundMessage",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=messaging.rules.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("channel", models.CharField(choices=[("sms", "SMS"), ("mms", "MMS")], max_length=3)),
                ("vendor_id", models.CharField(max_length=120)),
                ("part", models.SmallIntegerField(db_default=1, default=1)),
                ("sender", models.CharField(max_length=20)),
                ("recipient", models.CharField(max_length=20)),
                ("text", models.TextField(blank=True)),
                ("media", models.JSONField(blank=True, db_default=[], default=list)),
                ("occurred_at", models.DateTimeField(null=True)),
                ("received_at", models.DateTimeField()),
                ("exchange_id", models.UUIDField()),
                ("exchange_at", models.DateTimeField()),
                ("digest", models.BinaryField(blank=True, db_default=b"", default=b"", max_length=32)),
                (
                    "tenant",
                    models.ForeignKey(
                        db_index=False, on_delete=django.db.models.deletion.PROTECT, to="accounts.tenant"
                    ),
                ),
                (
                    "account",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        to="messaging.provideraccount",
                    ),
                ),
            ],
            options={
                "verbose_name": "inbound message",
            },
        ),
        migrations.CreateModel(
            name="DeliveryReport",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("exchange_id", models.UUIDField()),
                ("exchange_at", models.DateTimeField()),
                ("vendor_id", models.CharField(blank=True, db_default="", max_length=120)),
                ("reference", models.CharField(blank=True, db_default="", max_length=60)),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("sent", "sent"),
                            ("delivered", "delivered"),
                            ("undelivered", "undelivered"),
                            ("expired", "expired"),
                            ("rejected", "rejected"),
                            ("unknown", "unknown"),
                        ],
                        max_length=16,
                    ),
                ),
                ("vendor_status", models.CharField(blank=True, db_default="", max_length=60)),
                ("part", models.SmallIntegerField(db_default=1, default=1)),
                ("parts", models.SmallIntegerField(null=True)),
                ("code", models.CharField(blank=True, db_default="", max_length=60)),
                ("vendor_code", models.CharField(blank=True, db_default="", max_length=60)),
                ("text", models.CharField(blank=True, db_default="", max_length=300)),
                ("segments", models.SmallIntegerField(null=True)),
                ("mms_unsupported", models.BooleanField(db_default=False, default=False)),
                ("sent_as", models.CharField(blank=True, db_default="", max_length=3)),
                ("occurred_at", models.DateTimeField(null=True)),
                ("received_at", models.DateTimeField()),
                (
                    "effect",
                    models.CharField(
                        choices=[
                            ("applied", "applied"),
                            ("stored", "stored"),
                            ("superseded", "superseded"),
                            ("contradiction", "contradiction"),
                            ("unmatched", "unmatched"),
                            ("orphan", "orphan"),
                            ("unknown_status", "unknown status"),
                        ],
                        max_length=16,
                    ),
                ),
                ("due_at", models.DateTimeField(null=True)),
                ("tries", models.SmallIntegerField(db_default=0, default=0)),
                ("digest", models.BinaryField(max_length=32)),
                (
                    "attempt",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="reports",
                        to="messaging.attempt",
                    ),
                ),
                (
                    "account",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        to="messaging.provideraccount",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="AttemptPart",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("vendor_id", models.CharField(max_length=120)),
                ("part", models.SmallIntegerField()),
                (
                    "attempt",
                    models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to="messaging.attempt"),
                ),
                (
                    "account",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        to="messaging.provideraccount",
                    ),
                ),
            ],
        ),
        migrations.AddField(
            model_name="attempt",
            name="account",
            field=models.ForeignKey(
                db_index=False, on_delete=django.db.models.deletion.PROTECT, to="messaging.provideraccount"
            ),
        ),
        migrations.CreateModel(
            name="Queue",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "open_until",
                    models.DateTimeField(
                        db_default=datetime.datetime(2000, 1, 1, 0, 0, tzinfo=UTC),
                        default=datetime.datetime(2000, 1, 1, 0, 0, tzinfo=UTC),
                        editable=False,
                    ),
                ),
                ("open_for", models.FloatField(db_default=0, default=0, editable=False)),
                ("faults", models.PositiveIntegerField(db_default=0, default=0, editable=False)),
                (
                    "witnesses",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.BigIntegerField(),
                        db_default=[],
                        default=list,
                        editable=False,
                        size=None,
                    ),
                ),
                ("probes", models.PositiveSmallIntegerField(db_default=1, default=1, editable=False)),
                (
                    "last_fault",
                    models.CharField(blank=True, db_default="", default="", editable=False, max_length=300),
                ),
                ("failed_at", models.DateTimeField(editable=False, null=True)),
                ("ok_at", models.DateTimeField(editable=False, null=True)),
                ("kind", models.SmallIntegerField(choices=[(0, "Dispatch"), (1, "Callbacks")])),
                (
                    "key",
                    models.CharField(help_text="The provider account, or the tenant's id.", max_length=200),
                ),
                (
                    "cap",
                    models.PositiveIntegerField(
                        default=16,
                        help_text="How many calls (to a vendor) or posts (to Bloomreach) may be in flight.",
                        validators=[django.core.validators.MinValueValidator(1)],
                    ),
                ),
                (
                    "rate",
                    models.FloatField(
                        blank=True,
                        help_text="Segments per second towards the vendor; empty: no limit.",
                        null=True,
                        validators=[django.core.validators.MinValueValidator(0.01)],
                    ),
                ),
                ("tokens", models.FloatField(db_default=0, default=0, editable=False)),
                (
                    "refilled_at",
                    models.DateTimeField(
                        db_default=datetime.datetime(2000, 1, 1, 0, 0, tzinfo=UTC),
                        default=datetime.datetime(2000, 1, 1, 0, 0, tzinfo=UTC),
                        editable=False,
                    ),
                ),
                ("paused_at", models.DateTimeField(blank=True, null=True)),
                ("paused_why", models.CharField(blank=True, db_default="", max_length=300)),
                (
                    "served_at",
                    models.DateTimeField(
                        db_default=datetime.datetime(2000, 1, 1, 0, 0, tzinfo=UTC),
                        default=datetime.datetime(2000, 1, 1, 0, 0, tzinfo=UTC),
                        editable=False,
                    ),
                ),
                (
                    "created_at",
                    models.DateTimeField(
                        auto_now_add=True, db_default=django.db.models.functions.datetime.Now()
                    ),
                ),
            ],
            options={
                "verbose_name": "queue",
                "constraints": [
                    models.UniqueConstraint(fields=("kind", "key"), name="queue_destination"),
                    models.CheckConstraint(condition=models.Q(("kind__in", [0, 1])), name="queue_kind_known"),
                    models.CheckConstraint(condition=models.Q(("cap__gte", 1)), name="queue_cap_positive"),
                    models.CheckConstraint(
                        condition=models.Q(("rate__isnull", True), ("rate__gt", 0), _connector="OR"),
                        name="queue_rate_positive",
                    ),
                ],
            },
        ),
        migrations.AddField(
            model_name="provideraccount",
            name="queue",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="accounts",
                to="messaging.queue",
                verbose_name="queue",
            ),
        ),
        migrations.AddField(
            model_name="message",
            name="queue",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                to="messaging.queue",
                verbose_name="queue",
            ),
        ),
        migrations.CreateModel(
            name="Event",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=messaging.rules.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "kind",
                    models.SmallIntegerField(
                        choices=[(0, "sent"), (1, "final"), (2, "correction"), (3, "inbound")]
                    ),
                ),
                ("generation", models.SmallIntegerField(db_default=0, default=0)),
                ("url", models.TextField()),
                ("status", models.CharField(max_length=16)),
                ("occurred_at", models.DateTimeField()),
                ("error", models.JSONField(null=True)),
                ("segments", models.SmallIntegerField(null=True)),
                ("sent_as", models.CharField(blank=True, db_default="", max_length=3)),
                (
                    "state",
                    models.SmallIntegerField(
                        choices=[(0, "due"), (1, "leased"), (2, "acked"), (3, "undeliverable")],
                        db_default=0,
                        default=0,
                    ),
                ),
                ("due_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("lease", models.UUIDField(null=True)),
                ("lease_until", models.DateTimeField(null=True)),
                ("tries", models.SmallIntegerField(db_default=0, default=0)),
                ("batch_cap", models.SmallIntegerField(db_default=500, default=500)),
                ("first_try_at", models.DateTimeField(null=True)),
                ("last_post", models.UUIDField(null=True)),
                ("last_error", models.CharField(blank=True, db_default="", max_length=300)),
                ("acked_at", models.DateTimeField(null=True)),
                ("created_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                (
                    "destination",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        to="messaging.destination",
                    ),
                ),
                (
                    "message",
                    models.ForeignKey(
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="events",
                        to="messaging.message",
                    ),
                ),
                (
                    "inbound",
                    models.ForeignKey(
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        to="messaging.inboundmessage",
                    ),
                ),
                (
                    "queue",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        to="messaging.queue",
                        verbose_name="queue",
                    ),
                ),
            ],
        ),
        migrations.AddField(
            model_name="destination",
            name="queue",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                to="messaging.queue",
                verbose_name="queue",
            ),
        ),
        migrations.CreateModel(
            name="RecordedRequest",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("action", models.CharField(max_length=16)),
                ("code", models.CharField(blank=True, db_default="", max_length=40, verbose_name="answer")),
                ("digest", models.BinaryField(max_length=32)),
                ("keys", models.JSONField(blank=True, db_default={}, default=dict)),
                ("headers", models.JSONField(blank=True, db_default=[], default=list)),
                (
                    "first_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), verbose_name="first seen"
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="recorded_requests",
                        to="accounts.tenant",
                    ),
                ),
            ],
            options={
                "verbose_name": "recorded request",
            },
        ),
        migrations.CreateModel(
            name="Replay",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "kind",
                    models.CharField(
                        choices=[("events", "Events"), ("messages", "Messages"), ("reports", "Reports")],
                        max_length=10,
                    ),
                ),
                ("filter", models.JSONField(default=dict)),
                (
                    "may_duplicate",
                    models.BooleanField(
                        default=False, help_text="Also resend messages that may have been sent already."
                    ),
                ),
                (
                    "corrections",
                    models.BooleanField(
                        default=False, help_text="Tell Bloomreach about contradicting finals."
                    ),
                ),
                (
                    "rate",
                    models.FloatField(
                        blank=True,
                        help_text="Rows per second; empty: as fast as the queues allow.",
                        null=True,
                    ),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[("running", "Running"), ("done", "Done"), ("stopped", "Stopped")],
                        default="running",
                        max_length=8,
                    ),
                ),
                ("cursor", models.CharField(blank=True, db_default="", max_length=60)),
                ("total", models.IntegerField(default=0)),
                ("done", models.IntegerField(db_default=0, default=0)),
                ("skipped", models.IntegerField(db_default=0, default=0)),
                ("due_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("requested_by", models.CharField(blank=True, max_length=150)),
                ("reason", models.CharField(blank=True, max_length=300)),
                (
                    "created_at",
                    models.DateTimeField(
                        auto_now_add=True, db_default=django.db.models.functions.datetime.Now()
                    ),
                ),
                ("finished_at", models.DateTimeField(null=True)),
            ],
            options={
                "ordering": ["-id"],
                "indexes": [
                    models.Index(
                        condition=models.Q(("state", "running")), fields=["due_at"], name="replay_running"
                    )
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("state__in", ["running", "done", "stopped"])),
                        name="replay_state_known",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Route",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "position",
                    models.PositiveSmallIntegerField(
                        db_default=0,
                        default=0,
                        help_text="Lower is tried first. Routes of one position share traffic by weight.",
                    ),
                ),
                (
                    "weight",
                    models.PositiveIntegerField(
                        db_default=1,
                        default=1,
                        help_text="This route's share among those of its position.",
                        validators=[django.core.validators.MinValueValidator(1)],
                    ),
                ),
                (
                    "channel",
                    models.CharField(
                        blank=True,
                        choices=[("sms", "SMS"), ("mms", "MMS")],
                        db_default="",
                        default="",
                        help_text="Empty: both.",
                        max_length=3,
                    ),
                ),
                (
                    "prefixes",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(
                            max_length=15,
                            validators=[
                                django.core.validators.RegexValidator(
                                    "^[1-9][0-9]{0,14}\\Z",
                                    "A prefix is written in digits, without + or 00: 421, 1, 4420.",
                                )
                            ],
                        ),
                        blank=True,
                        db_default=[],
                        default=list,
                        help_text="What a recipient's number begins with, in digits: 421, 1. Empty: any.",
                        size=None,
                        verbose_name="country prefixes",
                    ),
                ),
                (
                    "senders",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=20),
                        blank=True,
                        db_default=[],
                        default=list,
                        help_text="Senders that a request must name. Empty: any.",
                        size=None,
                    ),
                ),
                ("is_active", models.BooleanField(db_default=True, default=True, verbose_name="active")),
                (
                    "account",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="routes",
                        to="messaging.provideraccount",
                        verbose_name="provider account",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="routes",
                        to="accounts.tenant",
                    ),
                ),
            ],
            options={
                "ordering": ["tenant", "position", "id"],
            },
        ),
        migrations.CreateModel(
            name="SenderRate",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "sender",
                    models.CharField(
                        help_text="A number, short code or name, as it goes out.", max_length=20
                    ),
                ),
                (
                    "rate",
                    models.FloatField(
                        validators=[django.core.validators.MinValueValidator(0.01)],
                        verbose_name="segments per second",
                    ),
                ),
                ("tokens", models.FloatField(db_default=0, default=0, editable=False)),
                (
                    "refilled_at",
                    models.DateTimeField(
                        db_default=datetime.datetime(2000, 1, 1, 0, 0, tzinfo=UTC),
                        default=datetime.datetime(2000, 1, 1, 0, 0, tzinfo=UTC),
                        editable=False,
                    ),
                ),
                (
                    "booked_until",
                    models.DateTimeField(
                        db_default=datetime.datetime(2000, 1, 1, 0, 0, tzinfo=UTC),
                        default=datetime.datetime(2000, 1, 1, 0, 0, tzinfo=UTC),
                        editable=False,
                    ),
                ),
                (
                    "queue",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="sender_rates",
                        to="messaging.queue",
                        verbose_name="queue",
                    ),
                ),
            ],
            options={
                "verbose_name": "sender's limit",
            },
        ),
        migrations.CreateModel(
            name="Slot",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("worker", models.CharField(max_length=100)),
                ("n", models.SmallIntegerField()),
                (
                    "woken_at",
                    models.DateTimeField(
                        db_default=datetime.datetime(2000, 1, 1, 0, 0, tzinfo=UTC),
                        default=datetime.datetime(2000, 1, 1, 0, 0, tzinfo=UTC),
                    ),
                ),
                (
                    "beat_at",
                    models.DateTimeField(
                        db_default=datetime.datetime(2000, 1, 1, 0, 0, tzinfo=UTC),
                        default=datetime.datetime(2000, 1, 1, 0, 0, tzinfo=UTC),
                    ),
                ),
                ("token", models.UUIDField(null=True)),
                ("clock_off", models.FloatField(db_default=0.0, default=0.0)),
                ("run_by", models.CharField(blank=True, db_default="", max_length=100)),
            ],
            options={
                "constraints": [models.UniqueConstraint(fields=("worker", "n"), name="slot_place")],
            },
        ),
        migrations.CreateModel(
            name="Inbox",
            fields=[
                ("exchange_id", models.UUIDField(primary_key=True, serialize=False)),
                ("exchange_at", models.DateTimeField()),
                ("due_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("tries", models.SmallIntegerField(db_default=0, default=0)),
                ("parked_at", models.DateTimeField(null=True)),
                ("parked_why", models.CharField(blank=True, db_default="", max_length=300)),
                (
                    "account",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, to="messaging.provideraccount"
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "inbox",
                "indexes": [
                    models.Index(
                        condition=models.Q(("parked_at__isnull", True)), fields=["due_at"], name="inbox_due"
                    )
                ],
            },
        ),
        migrations.AddIndex(
            model_name="inboundmessage",
            index=models.Index(fields=["tenant", "-received_at"], name="inbound_list"),
        ),
        migrations.AddConstraint(
            model_name="inboundmessage",
            constraint=models.UniqueConstraint(fields=("account", "vendor_id", "part"), name="inbound_once"),
        ),
        migrations.AddIndex(
            model_name="deliveryreport",
            index=models.Index(
                condition=models.Q(("effect", "unmatched")), fields=["due_at"], name="report_unmatched"
            ),
        ),
        migrations.AddIndex(
            model_name="deliveryreport",
            index=models.Index(
                condition=models.Q(("effect", "contradiction")), fields=["id"], name="report_contradiction"
            ),
        ),
        migrations.AddIndex(
            model_name="deliveryreport",
            index=models.Index(
                condition=models.Q(("effect", "unmatched")),
                fields=["account", "vendor_id"],
                name="report_waiting",
            ),
        ),
        migrations.AddConstraint(
            model_name="deliveryreport",
            constraint=models.UniqueConstraint(fields=("account", "digest"), name="report_once"),
        ),
        migrations.AddConstraint(
            model_name="attemptpart",
            constraint=models.UniqueConstraint(
                fields=("account", "vendor_id"), name="attempt_part_vendor_id"
            ),
        ),
        migrations.AddIndex(
            model_name="attempt",
            index=models.Index(
                condition=models.Q(("vendor_id", ""), _negated=True),
                fields=["account", "vendor_id"],
                name="attempt_vendor_id",
            ),
        ),
        migrations.AddIndex(
            model_name="attempt",
            index=models.Index(
                condition=models.Q(("poll_at__isnull", False)), fields=["poll_at"], name="attempt_poll"
            ),
        ),
        migrations.AddConstraint(
            model_name="attempt",
            constraint=models.UniqueConstraint(fields=("message", "n"), name="attempt_number"),
        ),
        migrations.AddConstraint(
            model_name="provideraccount",
            constraint=models.UniqueConstraint(fields=("tenant", "name"), name="account_name_per_tenant"),
        ),
        migrations.AddConstraint(
            model_name="provideraccount",
            constraint=models.CheckConstraint(
                condition=models.Q(("unknown_policy__in", ["at_most_once", "at_least_once"])),
                name="account_policy_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="provideraccount",
            constraint=models.CheckConstraint(
                condition=models.Q(("validity__gt", datetime.timedelta(0))), name="account_validity_positive"
            ),
        ),
        migrations.AddIndex(
            model_name="message",
            index=models.Index(
                condition=models.Q(("state__in", [0, 2])), fields=["queue", "due_at"], name="message_due"
            ),
        ),
        migrations.AddIndex(
            model_name="message",
            index=models.Index(
                condition=models.Q(("state__in", [1, 3, 4])), fields=["state", "due_at"], name="message_open"
            ),
        ),
        migrations.AddIndex(
            model_name="message",
            index=models.Index(condition=models.Q(("state", 1)), fields=["queue"], name="message_flying"),
        ),
        migrations.AddIndex(
            model_name="message",
            index=models.Index(fields=["tenant", "-created_at"], name="message_list"),
        ),
        migrations.AddIndex(
            model_name="message",
            index=models.Index(
                condition=models.Q(("replay_of__isnull", False)), fields=["replay_of"], name="message_replay"
            ),
        ),
        migrations.AddConstraint(
            model_name="message",
            constraint=models.UniqueConstraint(
                condition=models.Q(("dedupe_key__isnull", False)),
                fields=("tenant", "channel", "dedupe_key"),
                name="message_once",
            ),
        ),
        migrations.AddConstraint(
            model_name="message",
            constraint=models.CheckConstraint(
                condition=models.Q(("state__in", [0, 1, 2, 3, 4, 10, 11, 12, 13, 14, 15, 16, 17])),
                name="message_state_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="message",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("final_at__isnull", True), ("state__lt", 10)),
                    models.Q(("final_at__isnull", False), ("state__gte", 10)),
                    _connector="OR",
                ),
                name="message_final_at_iff_final",
            ),
        ),
        migrations.AddConstraint(
            model_name="message",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("lease__isnull", False), ("state", 1)),
                    models.Q(models.Q(("state", 1), _negated=True), ("lease__isnull", True)),
                    _connector="OR",
                ),
                name="message_lease_iff_sending",
            ),
        ),
        migrations.AddIndex(
            model_name="event",
            index=models.Index(
                condition=models.Q(("state", 0)), fields=["destination", "due_at"], name="event_waiting"
            ),
        ),
        migrations.AddIndex(
            model_name="event",
            index=models.Index(
                condition=models.Q(("state", 0)), fields=["queue", "due_at"], name="event_due"
            ),
        ),
        migrations.AddIndex(
            model_name="event",
            index=models.Index(
                condition=models.Q(("state__in", [0, 1])), fields=["message"], name="event_open"
            ),
        ),
        migrations.AddIndex(
            model_name="event",
            index=models.Index(
                condition=models.Q(("state", 1)), fields=["queue", "lease_until"], name="event_leased"
            ),
        ),
        migrations.AddIndex(
            model_name="event",
            index=models.Index(
                condition=models.Q(("state", 3)), fields=["queue", "created_at"], name="event_undeliverable"
            ),
        ),
        migrations.AddConstraint(
            model_name="event",
            constraint=models.UniqueConstraint(fields=("message", "kind", "generation"), name="event_once"),
        ),
        migrations.AddConstraint(
            model_name="event",
            constraint=models.UniqueConstraint(
                condition=models.Q(("inbound__isnull", False)), fields=("inbound",), name="event_inbound_once"
            ),
        ),
        migrations.AddConstraint(
            model_name="event",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("inbound__isnull", True), ("message__isnull", False)),
                    models.Q(("inbound__isnull", False), ("message__isnull", True)),
                    _connector="OR",
                ),
                name="event_about_one_thing",
            ),
        ),
        migrations.AddConstraint(
            model_name="event",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("lease__isnull", False), ("lease_until__isnull", False), ("state", 1)),
                    models.Q(models.Q(("state", 1), _negated=True), ("lease__isnull", True)),
                    _connector="OR",
                ),
                name="event_lease_iff_leased",
            ),
        ),
        migrations.AddConstraint(
            model_name="destination",
            constraint=models.UniqueConstraint(fields=("queue", "kind", "key"), name="destination_once"),
        ),
        migrations.AddConstraint(
            model_name="destination",
            constraint=models.CheckConstraint(
                condition=models.Q(("kind__in", [0, 1])), name="destination_kind_known"
            ),
        ),
        migrations.AddConstraint(
            model_name="recordedrequest",
            constraint=models.UniqueConstraint(fields=("tenant", "digest"), name="wire_shape_once"),
        ),
        migrations.AddConstraint(
            model_name="recordedrequest",
            constraint=models.UniqueConstraint(
                condition=models.Q(("tenant__isnull", True)),
                fields=("digest",),
                name="wire_shape_of_strangers_once",
            ),
        ),
        migrations.AddConstraint(
            model_name="route",
            constraint=models.CheckConstraint(
                condition=models.Q(("weight__gte", 1)), name="route_weight_positive"
            ),
        ),
        migrations.AddConstraint(
            model_name="route",
            constraint=models.CheckConstraint(
                condition=models.Q(("channel__in", ["", "sms", "mms"])), name="route_channel_known"
            ),
        ),
        migrations.AddConstraint(
            model_name="senderrate",
            constraint=models.UniqueConstraint(fields=("queue", "sender"), name="sender_rate_once"),
        ),
        migrations.AddConstraint(
            model_name="senderrate",
            constraint=models.CheckConstraint(
                condition=models.Q(("rate__gt", 0)), name="sender_rate_positive"
            ),
        ),
        migrations.RunSQL(CONTENT, "DROP TABLE messaging_content"),
        migrations.RunSQL(EXCHANGE, "DROP TABLE messaging_exchange"),
        migrations.RunPython(first_weeks, migrations.RunPython.noop),
        migrations.RunSQL(TUNING, UNTUNING),
    ]
