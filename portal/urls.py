from django.contrib import admin
from django.urls import include, path, re_path
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView

from connections.admin.callback import oauth_callback
from connections.api.nothing import NothingView
from connections.api.throttling import per_address
from portal import metrics, views
from syncer.hearing import hook

handler500 = views.server_error

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("admin/", admin.site.urls),
    path("api/v1/", include("syncer.api.urls")),
    path("api/schema/", per_address(SpectacularAPIView.as_view()), name="schema"),
    path("api/docs/", per_address(SpectacularSwaggerView.as_view(url_name="schema")), name="docs"),
    re_path("^api/", NothingView.as_view()),
    path("oauth/callback/", oauth_callback, name="oauth_callback"),
    path("hooks/<slug:app>/<slug:secret>/", hook, name="hook"),
    path("healthz", views.healthz),
    path("readyz", views.readyz),
    path("metrics", metrics.metrics),
]
