"""A suite that is called back, in its own pod."""


def test_it_is_called_back(webhook, http, services):
    paid = webhook("paid")
    paid.answer(503, then={"json": {"ok": True}})
    answer = http.post(f"{services['web'].url}/pay", json={"id": "p-2", "notify": paid.url})
    assert answer.status_code == 202
    calls = paid.wait(lambda call: call["json"]["id"] == "p-2", count=2, within=60)
    assert calls[0]["headers"]["x-signature"] == "signed"
