"""`python -m tests.process.few_messages DATABASE_URL [PATIENCE]`: this folder's code sends and reports a few messages.

tests/test_migrations.py runs it from a copy of the previous release, on the new schema. Prints the campaign's verdict
and the account as JSON; exits 0 when both are clean. Keep its name and its argument: a later release calls them.
"""

from __future__ import annotations

import json
import sys

from tests.process.stage import stage
from tests.waiting import free_port

CAMPAIGN = ("--sms", "8", "--mms", "2", "--rate", "10")


def main(database_url: str, patience: str = "60") -> int:
    """The exit code."""
    with stage(database_url) as running:
        (tenant,) = running.onboard("shop")
        url = running.start_web("web", free_port())
        running.start_worker("worker", url)
        verdict = running.verdict(running.simulate(url, tenant, *CAMPAIGN, "--patience", patience))
        account = running.reconcile()
    print(json.dumps({"verdict": verdict, "account": account}))
    return 0 if verdict["exit"] == account["exit"] == 0 else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
