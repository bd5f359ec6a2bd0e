"""What a report of a crash may show, on the page of DEBUG and in mails alike."""

from typing import Any

from django.http import HttpRequest
from django.views.debug import SafeExceptionReporterFilter


class QuietReports(SafeExceptionReporterFilter):
    """Where it broke, and nothing that anybody typed: forms hold other people's keys, and so do the variables of the
    code that reads them."""

    def get_post_parameters(self, request: HttpRequest | None) -> dict[str, Any]:
        return {} if request is None else dict.fromkeys(request.POST, self.cleansed_substitute)

    def get_traceback_frame_variables(self, request: Any, tb_frame: Any) -> Any:
        return [(name, self.cleansed_substitute) for name in tb_frame.f_locals]
