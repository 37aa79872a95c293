from django.db import migrations, models


class Migration(migrations.Migration):
    """Null for what an older version claims, before and during the upgrade: nothing follows from it."""

    dependencies = [
        ("messaging", "0006_destinations"),
    ]

    operations = [
        migrations.AddField(
            model_name="attempt",
            name="dialled",
            field=models.BooleanField(editable=False, null=True),
        ),
    ]
