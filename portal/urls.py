from django.contrib import admin
from django.urls import path
from django.views.generic import RedirectView

from portal import metrics, views

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("admin/", admin.site.urls),
    path("healthz", views.healthz),
    path("readyz", views.readyz),
    path("metrics", metrics.metrics),
]
