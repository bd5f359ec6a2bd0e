"""gunicorn's own lines, written like all others."""

import os
from logging.config import dictConfig
from typing import Any

from gunicorn.glogging import Logger


class Lines(Logger):  # type: ignore[misc]
    """For `--logger-class`: its first process, which never sets Django up, logs as the portal's settings say."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
        from django.conf import settings

        dictConfig(settings.LOGGING)
