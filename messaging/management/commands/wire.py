"""`manage.py wire`: a tenant's wire profile, from a description, by trying, or just to look at."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.models import Tenant
from messaging.contract import openapi, wire_import, wire_profile
from messaging.contract.wire_import import Findings, Page
from messaging.management.named import tenant_of
from messaging.onboarding import wire_probe, wire_profiles
from messaging.onboarding.wire_preview import samples
from messaging.onboarding.wire_probe import CannotProbe


class Command(BaseCommand):
    help = (
        "Show a tenant's wire profile with a sample of each body; make it from an OpenAPI description of Bloomreach's "
        "send, verify and callback pages (JSON, YAML, or Markdown around either); or find the shape of callbacks that "
        "Bloomreach takes, by posting the event of a test message in each. Exits 1 when none was taken."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("what", choices=("show", "import", "probe"))
        parser.add_argument("files", nargs="*", type=Path, metavar="FILE", help="descriptions to import")
        parser.add_argument("--tenant", default="", metavar="SLUG", help="whose profile it is")
        parser.add_argument("--dry-run", action="store_true", help="show what would change, and stop")
        parser.add_argument("--url", default="", help="probe: where to (default: the test message's own)")
        parser.add_argument(
            "--message", type=UUID, metavar="ID", help="probe: which test message (default: the newest)"
        )
        parser.add_argument("--inbound", action="store_true", help="probe: the tenant's inbound URL instead")
        parser.add_argument("--yes", action="store_true", help="probe: do not ask")

    def handle(self, *args: Any, **options: Any) -> None:
        tenant = tenant_of(options["tenant"]) if options["tenant"] else None
        getattr(self, f"_{options['what']}")(tenant, options)

    def _show(self, tenant: Tenant | None, options: dict[str, Any]) -> None:
        profile = wire_profile.stored(tenant.wire_profile) if tenant else wire_profile.DEFAULT
        self.stdout.write(f"Profile: {_as_json(profile.as_dict())}")
        for sample in samples(profile):
            self.stdout.write(f"\n{sample.title}\n{sample.text}")

    def _import(self, tenant: Tenant | None, options: dict[str, Any]) -> None:
        if not options["files"]:
            raise CommandError("name at least one FILE to import")
        base = wire_profile.stored(tenant.wire_profile) if tenant else wire_profile.DEFAULT
        try:
            found = wire_import.findings([_text(file) for file in options["files"]], base=base)
        except openapi.DescriptionError as error:
            raise CommandError(f"not imported: the description {error}") from None
        for line in _report(found):
            self.stdout.write(line)
        changed = wire_profiles.changes(base, found.profile)
        self.stdout.write("")
        for line in changed or ["Nothing differs from the profile that there is."]:
            self.stdout.write(line)
        if tenant is None:
            self.stdout.write(f"Profile: {_as_json(found.profile.as_dict())}")
            self.stdout.write("Nothing was stored: name a tenant with --tenant.")
        elif options["dry_run"] or not changed:
            self.stdout.write("Nothing was stored.")
        else:
            wire_profiles.change(tenant, lambda profile: found.profile)
            self.stdout.write(f"Stored for {tenant}; requests follow it within two seconds.")

    def _probe(self, tenant: Tenant | None, options: dict[str, Any]) -> None:
        if tenant is None:
            raise CommandError("name the tenant with --tenant")
        try:
            if options["inbound"]:
                about = wire_probe.inbound_subject(tenant)
            else:
                about = wire_probe.subject(tenant, url=options["url"], message_id=options["message"])
        except CannotProbe as error:
            raise CommandError(str(error)) from None
        most = len(wire_probe.candidates(tenant, inbound=about.is_inbound))
        shapes = f"Up to {most} test callbacks go to {about.url}."
        if options["dry_run"]:
            self.stdout.write(f"{shapes} Nothing was sent.")
            return
        if not options["yes"] and input(f"{shapes} Go on? [y/N] ").strip().lower() not in ("y", "yes"):
            raise CommandError("nothing was sent")
        probed = wire_probe.probe(tenant, about)
        for step in probed.steps:
            self.stdout.write(f"{step.answer:<10}{step.shape}")
        if not probed.found:
            raise CommandError(probed.why)
        self.stdout.write(f"Taken: {probed.found}")
        for line in probed.changed or ["The profile says so already."]:
            self.stdout.write(line)


def _text(file: Path) -> str:
    """The file. Raises CommandError when it cannot be read, or is no text."""
    try:
        with file.open("rb") as opened:
            raw = opened.read(openapi.TEXT_MAX * 4 + 1)
        return raw.decode()
    except OSError as error:
        raise CommandError(f"{file} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise CommandError(f"{file} is no text in UTF-8, or too large") from None


def _report(found: Findings) -> Iterable[str]:
    for page in found.pages:
        yield from _of_page(page)
    if found.notes:
        yield "\nTo look at"
        yield from (f"  {note}" for note in found.notes)


def _of_page(page: Page) -> Iterable[str]:
    yield f"\n{page.title}: {_ROLES[page.role]}"
    for theirs, ours in page.known.items():
        yield f"  known      {theirs}" + ("" if theirs == ours else f"  (ours: {ours})")
    for theirs, ours in page.guessed.items():
        yield f"  guessed    {theirs}  (ours: {ours})"
    for name in page.unknown:
        required = ", required there" if name.endswith("*") else ""
        yield f"  not known  {name.removesuffix('*')}{required}"
    for ours in page.missing:
        yield f"  missing    {ours}"


def _as_json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


_ROLES = {
    "sms_send": "send an SMS",
    "mms_send": "send an MMS",
    "verify": "verify credentials",
    "outbound": "delivery events, from us",
    "inbound": "inbound messages, from us",
    "other": "no page that we know; nothing is taken from it",
}
