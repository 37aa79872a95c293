"""The messaging app: messages, their way to the vendors, and what Bloomreach is told of them."""

from django.apps import AppConfig


class MessagingConfig(AppConfig):
    default_auto_field = "django.db.models.BigAutoField"
    name = "messaging"

    def ready(self) -> None:
        """Processes of the task engine end with their worker. Imported late: its models need loaded apps."""
        from messaging.worker import broker

        if broker.in_cluster():
            broker.end_with_worker()
            from messaging import tasks  # noqa: F401  (once, before the cluster forks its pumps)
