from django.db import migrations, models


class Migration(migrations.Migration):
    """What was refused so far is forgotten: it is sent, and refused, once more."""

    dependencies = [("syncer", "0002_restored_and_review_once")]
    operations = [
        migrations.RemoveField(model_name="link", name="refused"),
        migrations.AddField(
            model_name="link",
            name="refused",
            field=models.JSONField(
                blank=True,
                default=dict,
                help_text="What the app refused: digests of values or changes, each with its reason.",
            ),
        ),
    ]
