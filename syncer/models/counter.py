from typing import ClassVar

from django.db import models


class Counter(models.Model):
    """How often something has happened, ever; it only grows. `labels` says of which sort, in words of ours separated by
    spaces: states, slugs and kinds, never a name or a value."""

    name = models.CharField(max_length=50)
    labels = models.CharField(max_length=200, blank=True)
    total = models.PositiveBigIntegerField(default=0)

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["name", "labels"], name="counter_once")]

    def __str__(self) -> str:
        return f"{self.name} {self.labels}".strip()
