from django.db import migrations, models


class Migration(migrations.Migration):
    """What an older version claims has no mark, and nothing follows from it; its workers say nothing of their clocks."""

    dependencies = [
        ("messaging", "0006_destinations"),
    ]

    operations = [
        migrations.AddField(
            model_name="attempt",
            name="dialled",
            field=models.BooleanField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name="slot",
            name="clock_off",
            field=models.FloatField(db_default=0.0, default=0.0),
        ),
    ]
