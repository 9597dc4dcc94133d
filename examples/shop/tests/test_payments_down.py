def test_orders_are_taken_without_payments_and_paid_later(
    place_order, services, http, faults, eventually
):
    with faults("payments-down"):
        response = place_order(sku="A1", quantity=2)
        assert response.status_code == 201
        order = response.json()
        assert order["status"] == "payment_pending"

    @eventually(within=60)
    def it_is_paid():
        now = http.get(f"{services['orders'].url}/orders/{order['id']}").json()
        assert now["status"] == "paid"

    it_is_paid()
    charges = http.get(f"{services['payments'].url}/charges", params={"order": order["id"]})
    assert [charge["cents"] for charge in charges.json()] == [3998]
