"""The signature on our callbacks: a JSON Web Token, HS256, with `iat` (contract 5)."""

from __future__ import annotations

import json
import time

import jwt
from jwt.algorithms import HMACAlgorithm

MAX_AGE = 900  # seconds that Bloomreach accepts a token for (contract 5)
LEEWAY = 60  # seconds that the signer's clock may be ahead of the reader's


class BadToken(ValueError):
    """No token, not signed with this secret, too old, or from the future."""


class _AnySecret(HMACAlgorithm):
    """The secret may be the customer's API key (contract 5): any text is legal, also a short one."""

    def prepare_key(self, key: str | bytes) -> bytes:
        return key.encode() if isinstance(key, str) else key

    def check_key_length(self, key: bytes) -> str | None:
        return None


_JWS = jwt.PyJWS(algorithms=["HS256"])
_JWS.unregister_algorithm("HS256")
_JWS.register_algorithm("HS256", _AnySecret(HMACAlgorithm.SHA256))


def authorization(secret: str, *, now: float | None = None, bearer: bool = False) -> str:
    """Value of the Authorization header, made anew for each attempt: `iat` is now, in whole unix seconds.

    Raises ValueError when the secret is empty.
    """
    if not secret:
        raise ValueError("the callback signing secret is empty: set it on the tenant")
    issued = int(time.time() if now is None else now)
    token = _JWS.encode(
        json.dumps({"iat": issued}, separators=(",", ":")).encode(), secret, algorithm="HS256"
    )
    return f"Bearer {token}" if bearer else token


def verify(header: str, secret: str, *, max_age: float = MAX_AGE, now: float | None = None) -> int:
    """The `iat` of an Authorization header, "Bearer " or not. Raises BadToken. For stand-ins and tests."""
    if not secret:
        raise BadToken("no secret to check the token with")
    try:
        payload = json.loads(_JWS.decode(header.removeprefix("Bearer "), secret, algorithms=["HS256"]))
    except (jwt.InvalidTokenError, ValueError):
        raise BadToken("not a token signed with this secret") from None
    issued = payload.get("iat") if isinstance(payload, dict) else None
    if type(issued) is not int:
        raise BadToken("iat must be whole seconds")
    age = (time.time() if now is None else now) - issued
    if not -LEEWAY <= age <= max_age:
        raise BadToken(f"iat is {age:.0f} s old; at most {max_age:.0f} s are accepted")
    return issued
