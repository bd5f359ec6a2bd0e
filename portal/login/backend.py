from typing import Any

from django.contrib.auth.backends import ModelBackend


class Passwords(ModelBackend):
    """Names and passwords, and no rights: Django's permissions and groups give nothing, whatever stands in their
    tables. Roles alone decide (connections/roles.py); a superuser needs none."""

    def get_all_permissions(self, user_obj: Any, obj: Any = None) -> set[str]:
        return set()

    def has_perm(self, user_obj: Any, perm: str, obj: Any = None) -> bool:
        return False

    def has_module_perms(self, user_obj: Any, app_label: str) -> bool:
        return False
