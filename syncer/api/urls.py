"""All calls of version 1."""

from django.urls import path, re_path
from rest_framework.routers import SimpleRouter

from connections.api.connections import MappingView
from connections.api.nothing import NothingView
from connections.api.views import AccountView, AppView, ClientView, MeView
from syncer.api.views import HoldView, LinkView, LogView, RunningConnectionView, RunView

router = SimpleRouter()
router.register("apps", AppView, "app")
router.register("clients", ClientView, "client")
router.register("accounts", AccountView, "account")
router.register("connections", RunningConnectionView, "connection")
router.register("connections/(?P<connection>[^/]+)/field-mappings", MappingView, "mapping")
router.register("runs", RunView, "run")
router.register("links", LinkView, "link")
router.register("holds", HoldView, "hold")
router.register("sync-log", LogView, "log")

urlpatterns = [
    path("me/", MeView.as_view({"get": "retrieve"}), name="me"),
    *router.urls,
    re_path("", NothingView.as_view()),
]
