"""The addresses that Bloomreach calls, with their aliases; a trailing slash makes no difference (contract 1)."""

from django.urls import re_path

from messaging.api import views

urlpatterns = [
    re_path(r"^sms/(?:send|send-sms)/?$", views.SmsSendView.as_view(), name="sms-send"),
    re_path(r"^sms/verify/?$", views.SmsVerifyView.as_view(), name="sms-verify"),
    re_path(r"^verify/?$", views.EitherVerifyView.as_view(), name="verify"),
    re_path(r"^mms/(?:send|send-mms)/?$", views.MmsSendView.as_view(), name="mms-send"),
    re_path(r"^mms/verify/?$", views.MmsVerifyView.as_view(), name="mms-verify"),
]
