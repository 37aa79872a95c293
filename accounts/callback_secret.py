"""The secret that signs callbacks: what may be one, and its rotation in steps, so that Bloomreach's is never dropped.

Two are kept, the current and the previous; callbacks show which of them Bloomreach takes (`Tenant.secret_in_use`).
"""

from __future__ import annotations

from typing import Any, Final

from accounts.crypto import SealError
from accounts.models import Tenant

LEAST: Final = 32  # characters: HMAC with SHA-256 wants a key of 256 bits (RFC 7518, 3.2)
CURRENT, PREVIOUS = "current", "previous"


def weakness(secret: str, *, dictated: bool) -> str:
    """Why the value may not be used, in words; "" when it may. `dictated`: Bloomreach gave it, so it may be short."""
    if dictated or len(secret) >= LEAST:
        return ""
    return (
        f"It has {len(secret)} characters, and {LEAST} are needed: who guesses it can forge callbacks. "
        "Leave the field empty on a new tenant to have one generated; if Bloomreach gave you this value, say so."
    )


def hindrance(tenant: Tenant, secret: str) -> str:
    """Why this new secret must wait, in words; "" when nothing that Bloomreach may still use is dropped."""
    if is_same(tenant.callback_secret, secret):
        return "This is the secret that is set already."
    if not tenant.callback_secret_previous or is_same(tenant.callback_secret_previous, secret):
        return ""
    if tenant.secret_in_use == CURRENT:
        return ""
    return (
        f"Not now: a third secret would drop the previous one, and {_taken(tenant)}. "
        "First enter the current one at Bloomreach and wait until a callback was taken with it."
    )


def replace(tenant: Tenant, secret: str, *, dictated: bool) -> None:
    """Makes it the current one; the current becomes the previous. In memory: the caller saves."""
    undone = is_same(tenant.callback_secret_previous, secret)
    in_use = {CURRENT: PREVIOUS, PREVIOUS: CURRENT if undone else ""}.get(tenant.secret_in_use, "")
    tenant.callback_secret_previous = tenant.callback_secret
    tenant.callback_secret = secret  # sealed as it is set
    tenant.callback_secret_dictated = dictated
    tenant.secret_in_use = in_use


def state_lines(tenant: Tenant) -> list[str]:
    """What is set, what Bloomreach takes, and what to do next: a line each."""
    lines = [
        "A secret is set." if tenant.callback_secret else "No secret is set: callbacks cannot be signed."
    ]
    if tenant.callback_secret_dictated:
        lines.append("Bloomreach gave it: its length is theirs to answer for.")
    if not tenant.callback_secret_previous:
        return [*lines, f"{_taken(tenant).capitalize()}."]
    lines.append("The previous one is kept, and tried where Bloomreach refuses the current one (401, 403).")
    if tenant.secret_in_use == CURRENT:
        steps = f"Step 3 of 3: {_taken(tenant)}: forget the previous one."
    elif tenant.secret_in_use == PREVIOUS:
        steps = f"Step 2 of 3: {_taken(tenant)}: enter the current one at Bloomreach."
    else:
        steps = (
            f"Step 2 of 3: {_taken(tenant)}: enter the current one at Bloomreach, and wait for a callback."
        )
    return [*lines, steps]


def is_same(sealed: Any, secret: str) -> bool:
    """Whether the stored value is this one; a value that does not open is no value."""
    try:
        return bool(sealed) and str(sealed.reveal()) == secret
    except SealError:
        return False


def _taken(tenant: Tenant) -> str:
    if not tenant.secret_in_use:
        return "Bloomreach has taken no callback with either yet"
    when = f" at {tenant.secret_taken_at:%Y-%m-%d %H:%M} UTC" if tenant.secret_taken_at else ""
    return f"Bloomreach took the {tenant.secret_in_use} one last{when}"
