from django.contrib import admin
from django.urls import path

urlpatterns = [path("admin/", admin.site.urls)]
handler404 = "connector.failures.not_found"
handler500 = "connector.failures.server_error"
handler400 = "connector.failures.bad_request"
