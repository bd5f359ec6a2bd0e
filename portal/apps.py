from axes import apps as axes
from django.apps import AppConfig
from django.contrib.admin import apps as admin


class PortalConfig(AppConfig):
    name = "portal"
    verbose_name = "People"
    default = True

    def ready(self) -> None:
        from portal import checks  # noqa: F401
        from portal.login import trail

        trail.listen()


class CounterpartAdminConfig(admin.AdminConfig):
    """Django's admin, with a site of ours."""

    default_site = "portal.site.Site"
    default = False


class LockConfig(axes.AppConfig):  # type: ignore[misc]  # django-axes has no types
    """django-axes, under a name that says what its page is about."""

    verbose_name = "Log-in"
    default = False
