"""`manage.py lint_migrations`: refuse migrations that would disturb the previous release (ADR 11). No database."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db.migrations.loader import MigrationLoader

from dev.migration_lint import complaints, later_migrations


class Command(BaseCommand):
    help = "Look at every migration but the first ones; exits 1 when one may not run beside the previous release."
    requires_system_checks = ()

    def handle(self, *args: Any, **options: Any) -> None:
        looked_at = wrong = 0
        for migration, before in later_migrations(MigrationLoader(None)):
            looked_at += 1
            for one in complaints(migration, before):
                wrong += 1
                self.stderr.write(f"{migration.app_label}.{migration.name}: {one.rule}: {one.text}")
        if wrong:
            raise CommandError("Migrations run while the previous release serves: see docs/adr/0011.")
        self.stdout.write(f"Migrations: {looked_at} after the first ones, nothing wrong.")
