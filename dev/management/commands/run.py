"""`manage.py run`: the whole path on one machine, from an empty directory to a judged campaign."""

from __future__ import annotations

import os
import signal
import sys
import time
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connection as database

from dev import embedded
from simulator import campaign, chaos, demo, processes, summary, tenants, witness
from simulator.adapter import CAPABILITIES, LOOK_UP
from simulator.bloomreach import Bloomreach, callback_url, inbound_url
from simulator.client import Client, Unanswered
from simulator.demo import Demo
from simulator.listener import port_is_free
from simulator.processes import Child, ChildDied
from simulator.screen import BOLD, RED, YELLOW, Screen
from simulator.verdict import CampaignVerdict

CALL_DEADLINE = "2"  # seconds: nobody watches a demo that waits 15 for each call that times out
START_SECONDS, POLL = 60.0, 0.2
LOOK_EVERY = 1.0


class Command(BaseCommand):
    help = "Start everything (PostgreSQL, web, worker, stand-ins), play a campaign, then keep serving."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--once", action="store_true", help="stop after the campaign, with its exit code")
        parser.add_argument("--sms", type=int, default=campaign.SMS, help="SMS to send (%(default)s)")
        parser.add_argument("--mms", type=int, default=campaign.MMS, help="MMS to send (%(default)s)")
        parser.add_argument(
            "--rate", type=float, default=campaign.RATE, help="requests a second (%(default)s)"
        )
        parser.add_argument("--calm", action="store_true", help="do no harm")
        parser.add_argument(
            "--capability",
            choices=[name for name, _ in CAPABILITIES],
            default=LOOK_UP,
            help="what the carrier lets us do about an unknown outcome (%(default)s)",
        )

    def handle(self, *args: Any, once: bool, **options: Any) -> None:
        if not settings.DEBUG:
            raise CommandError("`run` is for development: set DEBUG=1 (`make run` does so in .env).")
        self.stdout.ending = ""  # the screen ends its own lines
        screen = Screen.on(self.stdout)
        _listen_to_signals()
        try:
            refuse_taken_ports()
            with _database(screen):
                demonstrate(screen, once=once, options=options)
        except (ChildDied, embedded.EmbeddedError) as error:
            raise CommandError(str(error)) from None
        except KeyboardInterrupt:
            sys.exit(130)


def refuse_taken_ports() -> None:
    """Raises CommandError that names the variable."""
    ports = {
        "PORT": demo.web_port(),
        "CARRIER_PORT": demo.carrier_port(),
        "BLOOMREACH_PORT": demo.bloomreach_port(),
    }
    for name, port in ports.items():
        if not port_is_free(port):
            raise CommandError(
                f"Port {port} is taken. Set {name} to another one: {name}={port + 100} make run"
            )


def demonstrate(screen: Screen, *, once: bool, options: dict[str, Any]) -> None:
    """The campaign, then (unless `once`) service until Ctrl-C. Exits with 1 when the verdict is bad."""
    screen.step("database: applying migrations")
    call_command("migrate", verbosity=0)
    port = demo.bloomreach_port()
    facts = demo.prepare(
        capability=options["capability"], callback_url=callback_url(port), inbound_url=inbound_url(port)
    )
    demo.write(facts)
    tenants.seed()
    screen.step(f"demo tenant: ready, its facts are in {_short(demo.path())}")
    bloomreach = Bloomreach(
        base_url=facts.base_url, token=facts.token, secret=facts.callback_secret, port=port
    )
    bloomreach.start()  # before the worker: a former run may have left callbacks that are due
    with _children(screen, facts) as children:
        verdict = _play(screen, facts, bloomreach, children, options)
        if once:
            sys.exit(0 if verdict.good else 1)
        _invite(screen, facts)
        _serve(screen, children)


def _play(
    screen: Screen, facts: Demo, bloomreach: Bloomreach, children: Sequence[Child], options: dict[str, Any]
) -> CampaignVerdict:
    tenant = witness.tenant_of(facts.token)
    worker = next(child for child in children if child.name == "worker")

    def kill_worker() -> None:
        processes.kill_hard(worker)
        processes.restart(worker)

    harm = chaos.deeds(bloomreach, carrier_url=facts.carrier_url, kill_worker=kill_worker)
    plan = campaign.Plan(
        sms=options["sms"],
        mms=options["mms"],
        rate=options["rate"],
        patience=campaign.PATIENCE,
        carrier_url=facts.carrier_url,
        unknown_outcome=campaign.only_reports_tell(tenant),
        deeds=() if options["calm"] else harm,
    )
    screen.step(f"campaign: {plan.sms} SMS and {plan.mms} MMS, {plan.rate:.0f} requests a second", BOLD)
    verdict = campaign.play(plan=plan, bloomreach=bloomreach, tenant=tenant, screen=screen)
    screen.step("campaign: over", BOLD)
    summary.show(verdict, screen, base_url=facts.base_url)
    return verdict


@contextmanager
def _database(screen: Screen) -> Iterator[None]:
    """The embedded server, unless DATABASE_URL names another one."""
    if os.environ.get("DATABASE_URL"):
        screen.step("database: the one of DATABASE_URL")
        yield
        return
    place = settings.DATA_DIR / "pg"
    screen.step(f"database: starting PostgreSQL, data in {_short(place)}")
    embedded.start(place)
    try:
        yield
    finally:
        database.close()
        embedded.stop(place)
        screen.step("database: stopped")


@contextmanager
def _children(screen: Screen, facts: Demo) -> Iterator[list[Child]]:
    """Carrier, web and worker, ready to work. On the way out all are stopped, the carrier last."""
    environment = {
        "DEBUG": "1",
        "DEMO": "1",
        "EXTRA_APPS": "dev,simulator",
        "CALL_DEADLINE": os.environ.get("CALL_DEADLINE", CALL_DEADLINE),
        "CARRIER_KEY": demo.api_key(),
    }
    logs = settings.DATA_DIR / "logs"
    children: list[Child] = []
    try:
        for name in ("carrier", "worker", "web"):
            children.append(processes.start(name=name, arguments=[name], environment=environment, logs=logs))
        screen.step(f"carrier, web and worker: starting, logs in {_short(logs)}")
        _wait(f"{facts.carrier_url}/counters", children)
        _wait(f"{facts.base_url}/readyz", children)
        screen.step(f"carrier, web and worker: ready, {facts.base_url}")
        yield children
    finally:
        _ignore_signals()
        screen.step("web, worker and carrier: stopping")
        stubborn = processes.stop(children[1:]) + processes.stop(children[:1])
        for name in stubborn:
            screen.step(f"{name}: did not stop in {processes.GRACE:.0f} s and was killed", RED)


def _wait(url: str, children: Sequence[Child]) -> None:
    """Until it answers 200. Raises ChildDied."""
    until, said = time.monotonic() + START_SECONDS, "no answer"
    with Client(timeout=5.0) as client:
        while time.monotonic() < until:
            processes.refuse_dead(children)
            try:
                answer = client.call("GET", url, headers={})
            except Unanswered as error:
                said = str(error)
            else:
                if answer.status == 200:
                    return
                said = f"HTTP {answer.status} {answer.body.decode(errors='replace')}"
            time.sleep(POLL)
    raise ChildDied(f"{url} is not ready after {START_SECONDS:.0f} s: {said}")


def _serve(screen: Screen, children: Sequence[Child]) -> None:
    """Until Ctrl-C; a child that ends by itself is started again."""
    try:
        while True:
            time.sleep(LOOK_EVERY)
            for child in children:
                if not child.is_alive:
                    screen.step(f"{child.name}: ended, starting it again", YELLOW)
                    processes.restart(child)
    except KeyboardInterrupt:
        screen.say()


def _invite(screen: Screen, facts: Demo) -> None:
    """How to go on from here."""
    body = (
        f'{{"request_id": "hello-1", "from": "Demo Shop", "to": "00421900000100", "text": "Hello", '
        f'"custom_data": "abc", "callback_url": "{facts.callback_url}", "metadata": {{}}}}'
    )
    screen.say()
    screen.say(screen.paint("Still serving. Ctrl-C stops everything.", BOLD))
    screen.say(f"  admin     {facts.admin_url}")
    screen.say(f"  user      {facts.admin_user}")
    screen.say(f"  password  {facts.admin_password}")
    screen.say(f"  token     {facts.token}")
    screen.say("  send      the last two digits of the recipient choose what happens (docs/simulator.md):")
    screen.say(f"curl -s {facts.base_url}/sms/send -H 'Chan-Token: {facts.token}' \\")
    screen.say(f"  -H 'Content-Type: application/json' -d '{body}'")
    screen.say("  again     .venv/bin/python manage.py simulate")
    screen.say()


def _short(path: Any) -> str:
    """A path as seen from the project."""
    return str(path.relative_to(settings.BASE_DIR)) if path.is_relative_to(settings.BASE_DIR) else str(path)


def _listen_to_signals() -> None:
    """SIGTERM and a closed window stop everything as Ctrl-C does (unless nohup said otherwise)."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _ignore_signals() -> None:
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
