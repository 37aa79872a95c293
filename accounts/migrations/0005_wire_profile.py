"""The wire profile; the two switches that it replaces are carried over.

Their columns stay, with their defaults, as long as a web or worker process of the release before may still read them:
only Django's picture of the table loses them.
"""

from django.db import migrations, models

CARRY_OVER = """
UPDATE accounts_tenant
SET wire_profile = CASE WHEN bearer_prefix THEN '{"bearer": true}' ELSE '{}' END::jsonb
    || CASE WHEN inbound_bare_array THEN '{"inbound": ""}' ELSE '{}' END::jsonb
WHERE bearer_prefix OR inbound_bare_array
"""


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0004_secret_steps"),
    ]

    operations = [
        migrations.AddField(
            model_name="tenant",
            name="wire_profile",
            field=models.JSONField(
                blank=True,
                db_default={},
                default=dict,
                help_text="How this project spells keys, envelopes and statuses, where it differs from the default.",
            ),
        ),
        migrations.RunSQL(CARRY_OVER, migrations.RunSQL.noop),
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.RemoveField(model_name="tenant", name="bearer_prefix"),
                migrations.RemoveField(model_name="tenant", name="inbound_bare_array"),
            ],
        ),
    ]
