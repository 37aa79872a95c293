"""Tenants and tokens, and the bucket behind accounts/limits.py: unlogged, since a crash may well forget how much was
spent, and unknown to Django, which has no such tables."""

import django.contrib.postgres.fields
import django.core.validators
import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

import accounts.crypto

RATE_BUCKET = """
CREATE UNLOGGED TABLE accounts_rate_bucket (
    tenant_id bigint PRIMARY KEY,
    tokens float8 NOT NULL,
    drawn float8 NOT NULL,
    refilled_at timestamptz NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
"""


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="Tenant",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "slug",
                    models.SlugField(help_text="Short name, also the value of a second header.", unique=True),
                ),
                ("name", models.CharField(max_length=200)),
                (
                    "customer",
                    models.CharField(
                        blank=True,
                        db_default="",
                        help_text="Groups the projects of one brand.",
                        max_length=200,
                    ),
                ),
                (
                    "status",
                    models.CharField(
                        choices=[("active", "Active"), ("paused", "Paused"), ("suspended", "Suspended")],
                        db_default="active",
                        default="active",
                        max_length=16,
                    ),
                ),
                (
                    "project_id",
                    models.CharField(
                        blank=True, db_default="", max_length=100, verbose_name="Bloomreach project id"
                    ),
                ),
                (
                    "callback_secret",
                    accounts.crypto.SealedTextField(
                        help_text="Signs the callbacks (JWT, HS256). The same value is entered at Bloomreach."
                    ),
                ),
                (
                    "callback_secret_previous",
                    accounts.crypto.SealedTextField(
                        blank=True,
                        help_text="Tried once when Bloomreach answers 401 or 403 to the current one.",
                    ),
                ),
                (
                    "secret_in_use",
                    models.CharField(
                        blank=True,
                        db_default="",
                        editable=False,
                        help_text="Which one Bloomreach took last.",
                        max_length=8,
                    ),
                ),
                ("secret_taken_at", models.DateTimeField(editable=False, null=True)),
                (
                    "callback_secret_dictated",
                    models.BooleanField(db_default=False, default=False, editable=False),
                ),
                (
                    "allowed_hosts",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=253),
                        blank=True,
                        db_default=[],
                        default=list,
                        help_text="Besides bloomreach.co, bloomreach.com, exponea.com and their subdomains.",
                        size=None,
                        verbose_name="more callback hosts",
                    ),
                ),
                (
                    "inbound_url_sms",
                    models.URLField(
                        blank=True,
                        db_default="",
                        help_text="Pasted whole from Bloomreach's screen.",
                        max_length=2048,
                    ),
                ),
                ("inbound_url_mms", models.URLField(blank=True, db_default="", max_length=2048)),
                (
                    "wire_profile",
                    models.JSONField(
                        blank=True,
                        db_default={},
                        default=dict,
                        help_text="How this project spells keys, envelopes and statuses, where it differs from the default.",
                    ),
                ),
                (
                    "report_sent",
                    models.BooleanField(
                        db_default=False,
                        default=False,
                        help_text="Also tell Bloomreach when the vendor took it.",
                        verbose_name="report sent",
                    ),
                ),
                (
                    "opt_out_as_inbound",
                    models.BooleanField(
                        db_default=False,
                        default=False,
                        help_text="When a vendor refuses a message because its recipient opted out there, also post an inbound STOP.",
                        verbose_name="tell opt-outs",
                    ),
                ),
                (
                    "rate",
                    models.FloatField(
                        blank=True,
                        help_text="Requests per second; empty: no limit.",
                        null=True,
                        validators=[django.core.validators.MinValueValidator(0.1)],
                        verbose_name="API rate limit",
                    ),
                ),
                (
                    "burst",
                    models.PositiveIntegerField(
                        blank=True, help_text="Requests at once; empty: 2 seconds' worth.", null=True
                    ),
                ),
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
            ],
            options={
                "ordering": ["slug"],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("status__in", ["active", "paused", "suspended"])),
                        name="tenant_status_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("rate__isnull", True), ("rate__gt", 0), _connector="OR"),
                        name="tenant_rate_positive",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="ApiToken",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("label", models.CharField(blank=True, db_default="", max_length=100)),
                ("digest", models.BinaryField(max_length=32, unique=True)),
                (
                    "hint",
                    models.CharField(
                        editable=False, help_text="The last characters, to tell tokens apart.", max_length=8
                    ),
                ),
                (
                    "header",
                    models.CharField(
                        db_default="Chan-Token",
                        default="Chan-Token",
                        help_text="The header that carries the token.",
                        max_length=100,
                        validators=[
                            django.core.validators.RegexValidator(
                                "^[A-Za-z][A-Za-z0-9-]*$", "Letters, digits and dashes."
                            )
                        ],
                    ),
                ),
                (
                    "second_header",
                    models.CharField(
                        blank=True,
                        db_default="",
                        help_text="A header that must come too, for example Chan-Account.",
                        max_length=100,
                        validators=[
                            django.core.validators.RegexValidator(
                                "^[A-Za-z][A-Za-z0-9-]*$", "Letters, digits and dashes."
                            )
                        ],
                    ),
                ),
                (
                    "second_value",
                    models.CharField(
                        blank=True,
                        db_default="",
                        help_text="What the second header must say; empty: the slug.",
                        max_length=200,
                    ),
                ),
                (
                    "created_at",
                    models.DateTimeField(
                        auto_now_add=True, db_default=django.db.models.functions.datetime.Now()
                    ),
                ),
                ("last_used_at", models.DateTimeField(blank=True, editable=False, null=True)),
                ("revoked_at", models.DateTimeField(blank=True, null=True)),
                (
                    "tenant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="tokens",
                        to="accounts.tenant",
                    ),
                ),
            ],
            options={
                "verbose_name": "API token",
                "ordering": ["tenant", "-created_at"],
            },
        ),
        migrations.RunSQL(RATE_BUCKET, "DROP TABLE accounts_rate_bucket"),
    ]
