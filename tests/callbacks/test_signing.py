from __future__ import annotations

import base64
import hashlib
import hmac
import json

import pytest

from messaging.callbacks import signing

NOW = 1_763_822_400.9
LONG = "k" * 40


def _part(token: str, index: int) -> dict[str, object]:
    part = token.split(".")[index]
    value: dict[str, object] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return value


@pytest.mark.parametrize(
    "secret",
    [
        pytest.param(LONG, id="long"),
        pytest.param("123", id="short customer key, no warning"),
        pytest.param("klíč 🔑", id="not ascii"),
        pytest.param('{"kty": "oct"}', id="looks like a JWK"),
        pytest.param("-----BEGIN PUBLIC KEY-----\nabc\n-----END PUBLIC KEY-----", id="looks like PEM"),
    ],
)
def test_token_is_hs256_over_the_secret(secret: str) -> None:
    token = signing.authorization(secret, now=NOW)

    head, _, signature = token.rpartition(".")
    wanted = hmac.new(secret.encode(), head.encode(), hashlib.sha256).digest()
    assert base64.urlsafe_b64decode(signature + "=" * (-len(signature) % 4)) == wanted
    assert _part(token, 0) == {"alg": "HS256", "typ": "JWT"}
    assert _part(token, 1) == {"iat": 1_763_822_400}
    assert signing.verify(token, secret, now=NOW) == 1_763_822_400


def test_header_is_the_raw_token_unless_bearer_is_asked_for() -> None:
    raw = signing.authorization(LONG, now=NOW)

    assert signing.authorization(LONG, now=NOW, bearer=True) == f"Bearer {raw}"
    assert signing.verify(f"Bearer {raw}", LONG, now=NOW) == 1_763_822_400


def test_each_attempt_has_its_own_time() -> None:
    assert signing.authorization(LONG, now=NOW) != signing.authorization(LONG, now=NOW + 1)


def test_now_is_the_default() -> None:
    assert signing.verify(signing.authorization(LONG), LONG) > 1_700_000_000


def test_an_empty_secret_signs_nothing() -> None:
    with pytest.raises(ValueError, match="signing secret is empty"):
        signing.authorization("", now=NOW)


@pytest.mark.parametrize(
    ("age", "accepted"),
    [
        pytest.param(900, True, id="15 minutes"),
        pytest.param(901, False, id="older"),
        pytest.param(-60, True, id="a clock one minute ahead"),
        pytest.param(-61, False, id="from the future"),
    ],
)
def test_age(age: int, accepted: bool) -> None:
    token = signing.authorization(LONG, now=1000)
    if accepted:
        assert signing.verify(token, LONG, now=1000 + age) == 1000
    else:
        with pytest.raises(signing.BadToken, match="s old"):
            signing.verify(token, LONG, now=1000 + age)


def _forged(header: dict[str, str], payload: object, secret: str = LONG) -> str:
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (header, payload)]
    signature = hmac.new(secret.encode(), b".".join(parts), hashlib.sha256).digest()
    return b".".join([*parts, base64.urlsafe_b64encode(signature).rstrip(b"=")]).decode()


HS256 = {"alg": "HS256", "typ": "JWT"}


@pytest.mark.parametrize(
    "token",
    [
        pytest.param("", id="empty"),
        pytest.param("123", id="no token"),
        pytest.param("ä.b.c", id="not ascii"),
        pytest.param(signing.authorization("other", now=1000), id="another secret"),
        pytest.param(signing.authorization(LONG, now=1000)[:-2], id="cut"),
        pytest.param(_forged({"alg": "none"}, {"iat": 1000}), id="alg none"),
        pytest.param(_forged({"alg": "HS512"}, {"iat": 1000}), id="another algorithm"),
        pytest.param(_forged(HS256, {}), id="no iat"),
        pytest.param(_forged(HS256, {"iat": 1000.5}), id="iat in fractions"),
        pytest.param(_forged(HS256, {"iat": True}), id="iat is a boolean"),
        pytest.param(_forged(HS256, {"iat": "1000"}), id="iat is a string"),
        pytest.param(_forged(HS256, [1000]), id="payload is a list"),
    ],
)
def test_refused(token: str) -> None:
    with pytest.raises(signing.BadToken):
        signing.verify(token, LONG, now=1000)


def test_the_forgery_helper_makes_good_tokens() -> None:
    assert signing.verify(_forged(HS256, {"iat": 1000}), LONG, now=1000) == 1000


def test_nothing_verifies_with_an_empty_secret() -> None:
    with pytest.raises(signing.BadToken):
        signing.verify(_forged(HS256, {"iat": 1000}, secret=""), "", now=1000)
