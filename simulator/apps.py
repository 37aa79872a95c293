"""The simulator as an app: it brings its commands, and the vendor that speaks to the stand-in carrier."""

from django.apps import AppConfig

from vendors import registry


class SimulatorConfig(AppConfig):
    name = "simulator"

    def ready(self) -> None:
        registry.add("simulator", "simulator.adapter.Simulator")
