from __future__ import annotations

import copy
import pickle
import traceback
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django import forms
from django.contrib import admin
from django.core import serializers
from django.core.exceptions import FieldError, ValidationError
from django.db import connection as database
from django.db import models
from django.template import Context, Template
from django.test.utils import isolate_apps

from accounts import crypto
from accounts.crypto import Sealed, SealedJSON, SealedJSONField, SealedTextField, SealError

OLD, NEW, OTHER = (Fernet.generate_key().decode() for _ in range(3))
SECRET = "s3cret-žluť"


with isolate_apps("accounts"):  # no other test, above all no migrations check, may see this model

    class Vault(models.Model):
        """A table of both fields, made for this module only."""

        name = models.CharField(max_length=20, default="")
        token = SealedTextField()
        spare = SealedTextField(blank=True, null=True)
        parts = SealedJSONField(default=dict, blank=True)

        class Meta:
            app_label = "accounts"
            db_table = "test_vault"


@pytest.fixture(autouse=True)
def _keys(settings: Any) -> None:
    settings.FIELD_KEYS = [OLD]


@pytest.fixture
def vault(db: None) -> type[Vault]:
    with database.cursor() as cursor:
        cursor.execute(
            "create temporary table test_vault (id bigserial primary key, name text not null,"
            " token text not null, spare text, parts text not null) on commit drop"
        )
    return Vault


def _stored(column: str) -> str:
    with database.cursor() as cursor:
        cursor.execute(f"select {column} from test_vault")  # noqa: S608 - a name of this file
        return str(cursor.fetchone()[0])


@pytest.mark.parametrize(
    "plain",
    [
        pytest.param("", id="empty"),
        pytest.param("x", id="one letter"),
        pytest.param(SECRET, id="not ascii"),
        pytest.param("a" * 100_000, id="long"),
        pytest.param("gAAAAA", id="looks sealed"),
    ],
)
def test_what_is_sealed_opens(plain: str) -> None:
    sealed = crypto.seal(plain)

    assert crypto.open_(sealed) == plain.encode()
    assert (sealed == "") is (plain == "")
    assert SECRET not in sealed


def test_bytes_are_sealed_as_they_are() -> None:
    assert crypto.open_(crypto.seal(b"\x00\xff")) == b"\x00\xff"


def test_equal_secrets_have_different_ciphertexts() -> None:
    assert crypto.seal(SECRET) != crypto.seal(SECRET)


def test_the_first_key_seals_and_every_key_opens(settings: Any) -> None:
    old = crypto.seal(SECRET)
    settings.FIELD_KEYS = [NEW, OLD]
    new = crypto.rotate(old)
    assert (crypto.open_(old).decode(), crypto.open_(new).decode()) == (SECRET, SECRET)

    settings.FIELD_KEYS = [NEW]
    assert crypto.open_(new).decode() == SECRET
    with pytest.raises(SealError):
        crypto.open_(old)


def test_rotating_nothing_is_nothing() -> None:
    assert crypto.rotate("") == ""


@pytest.mark.parametrize(
    "sealed",
    [
        pytest.param(Fernet(OTHER).encrypt(SECRET.encode()).decode(), id="another key"),
        pytest.param("gAAAAA-not-a-token", id="garbage"),
        pytest.param("žluť", id="not ascii"),
        pytest.param(Fernet(OLD).encrypt(SECRET.encode()).decode()[:-6] + "AAAAA=", id="changed"),
    ],
)
def test_what_does_not_open_says_what_to_do_and_shows_nothing(sealed: str) -> None:
    with pytest.raises(SealError, match="add the key that sealed it, or enter it again") as raised:
        crypto.open_(sealed)
    told = "".join(traceback.format_exception(raised.value))
    assert SECRET not in told
    assert sealed not in told.replace(__file__, "")


@pytest.mark.parametrize(
    "keys",
    [
        pytest.param([], id="none"),
        pytest.param(["k3y"], id="too short"),
        pytest.param([OLD, "k3y-ž"], id="second is not ascii"),
    ],
)
def test_unusable_keys_are_named_but_not_shown(settings: Any, keys: list[str]) -> None:
    settings.FIELD_KEYS = keys
    with pytest.raises(SealError, match="FIELD_KEY must hold Fernet keys") as raised:
        crypto.seal(SECRET)
    told = "".join(traceback.format_exception(raised.value))
    assert "k3y" not in told
    assert SECRET not in told


def test_opening_twice_decrypts_once() -> None:
    sealed = crypto.seal(SECRET)
    crypto.open_(sealed)
    before = crypto._open.cache_info()
    crypto.open_(sealed)
    after = crypto._open.cache_info()
    assert (after.hits - before.hits, after.misses - before.misses) == (1, 0)


@pytest.mark.parametrize(
    "wrapper",
    [pytest.param(Sealed(), id="text"), pytest.param(SealedJSON(), id="json")],
)
def test_an_empty_wrapper_is_false_and_shows_nothing(wrapper: Sealed) -> None:
    assert (bool(wrapper), repr(wrapper), wrapper.ciphertext) == (False, "", "")


def test_wrappers_show_three_stars(settings: Any) -> None:
    text, parts = Sealed.of(SECRET), SealedJSON.of({"password": SECRET})

    for wrapper in (text, parts):
        assert (repr(wrapper), str(wrapper), f"{wrapper}", bool(wrapper)) == ("***",) * 3 + (True,)
    assert (text.reveal(), parts.reveal()) == (SECRET, {"password": SECRET})
    assert pickle.loads(pickle.dumps(text)) == copy.deepcopy(text) == text  # noqa: S301
    assert text != parts


def test_each_reveal_of_json_is_a_copy() -> None:
    parts = SealedJSON.of({"a": "b"})
    parts.reveal()["a"] = "changed"
    assert parts.reveal() == {"a": "b"}
    assert SealedJSON().reveal() == {}


def test_a_template_cannot_reveal() -> None:
    shown = Template("{{ secret }}|{{ secret.reveal }}|{{ parts.reveal }}").render(
        Context({"secret": Sealed.of(SECRET), "parts": SealedJSON.of({"a": SECRET})})
    )
    assert shown == "***||"


def test_rows_hold_ciphertext(vault: type[Vault]) -> None:
    vault.objects.create(token=SECRET, parts={"user": "u", "password": SECRET})

    assert SECRET not in _stored("token") + _stored("parts")
    row = vault.objects.get()
    assert (row.token.reveal(), row.parts.reveal()) == (SECRET, {"user": "u", "password": SECRET})
    assert row.spare is None


def test_empty_stays_empty_in_the_row(vault: type[Vault]) -> None:
    vault.objects.create(token="", spare="", parts={})

    assert (_stored("token"), _stored("spare"), _stored("parts")) == ("", "", "")
    row = vault.objects.get()
    assert (row.token.reveal(), row.parts.reveal(), bool(row.token)) == ("", {}, False)


def test_plain_text_is_sealed_on_assignment() -> None:
    row = Vault(token=SECRET)
    row.spare = SECRET  # type: ignore[assignment]
    row.parts = {"password": SECRET}  # type: ignore[assignment]

    assert SECRET not in repr(vars(row))
    assert row.spare is not None
    assert row.spare.reveal() == SECRET


def test_saving_again_keeps_the_ciphertext(vault: type[Vault]) -> None:
    vault.objects.create(token=SECRET)
    before = _stored("token")
    row = vault.objects.get()
    row.name = "changed"
    row.save()
    assert _stored("token") == before


def test_update_and_bulk_update_seal(vault: type[Vault]) -> None:
    row = vault.objects.create(token="first")
    vault.objects.update(token=SECRET)
    assert vault.objects.get().token.reveal() == SECRET

    row.token = "third"  # type: ignore[assignment]
    vault.objects.bulk_update([row], ["token"])
    assert vault.objects.get().token.reveal() == "third"


def test_deferred_and_values(vault: type[Vault]) -> None:
    vault.objects.create(token=SECRET)
    assert vault.objects.defer("token").get().token.reveal() == SECRET
    assert [repr(value) for value in vault.objects.values_list("token", flat=True)] == ["***"]


def test_a_list_of_unreadable_secrets_does_not_fail(vault: type[Vault], settings: Any) -> None:
    vault.objects.create(token=SECRET, parts={"password": SECRET})
    settings.FIELD_KEYS = [OTHER]

    (row,) = vault.objects.all()
    assert (repr(row.token), repr(row.parts)) == ("***", "***")
    row.save()
    for wrapper in (row.token, row.parts):
        with pytest.raises(SealError):
            wrapper.reveal()


def test_rows_can_be_asked_whether_they_have_a_secret(vault: type[Vault]) -> None:
    vault.objects.create(name="with", token=SECRET)
    vault.objects.create(name="without", token="")
    assert [row.name for row in vault.objects.exclude(token="")] == ["with"]
    assert vault.objects.filter(spare__isnull=True).count() == 2


@pytest.mark.parametrize(
    "lookup", ["token", "token__contains", "token__in", "token__startswith", "parts__gt"]
)
def test_no_filter_by_content(vault: type[Vault], lookup: str) -> None:
    with pytest.raises(FieldError):
        list(vault.objects.filter(**{lookup: [SECRET] if lookup.endswith("__in") else SECRET}))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        pytest.param("token", {"a": 1}, id="object for a text"),
        pytest.param("token", 7, id="number for a text"),
        pytest.param("parts", ["a"], id="list for an object"),
        pytest.param("parts", "abc", id="text for an object"),
        pytest.param("parts", Sealed("gAAA"), id="sealed text for an object"),
    ],
)
def test_wrong_kinds_are_refused_without_the_value(field: str, value: Any) -> None:
    with pytest.raises(ValidationError) as raised:
        Vault(**{field: value})
    assert "takes a" in str(raised.value)
    assert "abc" not in str(raised.value)


def test_model_validation_knows_an_empty_secret() -> None:
    with pytest.raises(ValidationError) as raised:
        Vault(name="n", token="").clean_fields()
    assert raised.value.message_dict == {"token": ["This field cannot be blank."]}
    Vault(name="n", token=SECRET).clean_fields()


def test_fixtures_are_refused(vault: type[Vault]) -> None:
    vault.objects.create(token=SECRET)
    with pytest.raises(SealError, match="pg_dump"):
        serializers.serialize("json", vault.objects.all())


class VaultForm(forms.ModelForm):  # type: ignore[type-arg]
    class Meta:
        model = Vault
        fields = ("name", "token", "parts")


def test_a_form_shows_no_secret_and_keeps_it_when_left_empty() -> None:
    row = Vault(token=SECRET, parts={"password": SECRET})
    page = str(VaultForm(instance=row))
    assert SECRET not in page
    assert "***" not in page
    assert page.count('type="password"') == 2

    form = VaultForm({"name": "n", "token": "", "parts": ""}, instance=row)
    assert (form.errors, form.changed_data) == ({}, ["name"])
    assert (row.token.reveal(), row.parts.reveal()) == (SECRET, {"password": SECRET})


def test_a_form_takes_a_new_secret() -> None:
    row = Vault(token="old", parts={"password": "old"})
    form = VaultForm({"name": "", "token": SECRET, "parts": '{"password": "new"}'}, instance=row)
    assert form.changed_data == ["token", "parts"]
    form.full_clean()
    assert (row.token.reveal(), row.parts.reveal()) == (SECRET, {"password": "new"})


def test_a_form_wants_the_first_secret() -> None:
    form = VaultForm({"name": "n", "token": "", "parts": ""}, instance=Vault())
    assert form.errors["token"] == ["This field is required."]
    assert 'name="token"' in str(form["token"])
    assert "required" in str(form["token"])


def test_a_form_refuses_json_that_is_no_object() -> None:
    form = VaultForm({"name": "n", "token": SECRET, "parts": "[1]"}, instance=Vault())
    assert "Enter a JSON object" in str(form.errors["parts"])


def test_the_admin_shows_no_secret_either(rf: Any, admin_user: Any) -> None:
    request = rf.get("/")
    request.user = admin_user
    form_class = admin.ModelAdmin(Vault, admin.AdminSite()).get_form(request)
    page = str(form_class(instance=Vault(token=SECRET, parts={"a": SECRET})))
    assert SECRET not in page
    assert "***" not in page
    assert page.count('type="password"') == 3


def test_migrations_name_the_field_plainly() -> None:
    _, path, args, kwargs = SealedJSONField(default=dict, blank=True).deconstruct()
    assert (path, args, kwargs) == ("accounts.crypto.SealedJSONField", [], {"default": dict, "blank": True})
