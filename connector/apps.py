"""The project's own app: no models, only the deployment checks and the web command."""

from django.apps import AppConfig


class ConnectorConfig(AppConfig):
    name = "connector"

    def ready(self) -> None:
        from connector import checks  # noqa: F401  (importing registers them)
