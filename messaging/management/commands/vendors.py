"""`manage.py vendors`: what each vendor can do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from vendors import matrix

MARK = "<!-- made by make vendors -->\n"


class Command(BaseCommand):
    help = "List the vendors and what each can do."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--write", type=Path, metavar="FILE", help="put the table in the place of the file's own"
        )

    def handle(self, *args: Any, write: Path | None, **options: Any) -> None:
        if write:
            write.write_text(_with_table(write.read_text()))
            return
        for row in matrix.rows():
            self.stdout.write(row[0])
            for column, value in zip(matrix.COLUMNS[1:], row[1:], strict=True):
                self.stdout.write(f"  {column:<32}{value}")


def _with_table(text: str) -> str:
    before, mark, after = text.partition(MARK)
    rest = "".join(line for line in after.splitlines(keepends=True) if not line.startswith("|"))
    return f"{before}{mark}\n{matrix.markdown()}\n{rest.strip()}\n".rstrip() + "\n"
