from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0003_opt_out"),
    ]

    operations = [
        migrations.AddField(
            model_name="tenant",
            name="callback_secret_dictated",
            field=models.BooleanField(db_default=False, default=False, editable=False),
        ),
        migrations.AddField(
            model_name="tenant",
            name="secret_taken_at",
            field=models.DateTimeField(editable=False, null=True),
        ),
    ]
