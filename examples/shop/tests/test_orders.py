import pytest


@pytest.mark.parametrize("quantity", [0, "many"])
def test_an_order_for_nonsense_is_refused(place_order, quantity):
    response = place_order(sku="A1", quantity=quantity)
    assert response.status_code == 400
    assert "quantity" in response.json()["error"]


def test_an_order_for_too_much_takes_nothing_off_the_stock(place_order, services, http):
    stock = f"{services['inventory'].url}/stock/SCARCE"
    http.put(stock, json={"quantity": 2}).raise_for_status()
    assert place_order(sku="SCARCE", quantity=3).status_code == 409
    assert http.get(stock).json()["quantity"] == 2
