from django.http import Http404
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.views import APIView

from connections.api.base import AlwaysJSON
from connections.api.idempotency import KeptJSON


@extend_schema(exclude=True)
class NothingView(APIView):
    """Every address under /api/v1/ that is no call: said as all calls say it."""

    authentication_classes = []
    permission_classes = []
    renderer_classes = [KeptJSON]
    content_negotiation_class = AlwaysJSON

    def initial(self, request: Request, *args: object, **kwargs: object) -> None:
        raise Http404
