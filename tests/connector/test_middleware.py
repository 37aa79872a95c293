import pytest


@pytest.mark.django_db
def test_db(client):
    r = client.get("/admin/login/")
    assert r.status_code == 200
    r = client.get("/sms/nothing/")
    assert r.status_code == 404 and r.json()["error"]["code"] == "not_found"
    assert client.get("/sms/nothing", headers={"host": "x.y"}).status_code == 503
