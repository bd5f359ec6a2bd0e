from django.apps import AppConfig
from django.db.models.signals import post_migrate


class SyncerConfig(AppConfig):
    name = "syncer"
    verbose_name = "Sync"

    def ready(self) -> None:
        from syncer.audit import triggers
        from syncer.tasks import ensure_schedule

        post_migrate.connect(triggers.install, sender=self, dispatch_uid="audit-triggers")
        post_migrate.connect(ensure_schedule, sender=self, dispatch_uid="tick")
