"""The messaging app: messages, their way to the vendors, and what Bloomreach is told of them."""

from django.apps import AppConfig


class MessagingConfig(AppConfig):
    default_auto_field = "django.db.models.BigAutoField"
    name = "messaging"
