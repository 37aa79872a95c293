"""Vendors' calls are kept to the byte, sealed (a new column of a table that Django does not manage), and their digest
with the inbound messages in them."""

from django.db import migrations, models

ADD_CALL = "ALTER TABLE messaging_raw ADD COLUMN call text NOT NULL DEFAULT ''"
DROP_CALL = "ALTER TABLE messaging_raw DROP COLUMN call"


class Migration(migrations.Migration):
    dependencies = [("messaging", "0004_routing")]

    operations = [
        migrations.RunSQL(ADD_CALL, DROP_CALL),
        migrations.AddField(
            model_name="inboundmessage",
            name="digest",
            field=models.BinaryField(blank=True, db_default=b"", default=b"", max_length=32),
        ),
    ]
