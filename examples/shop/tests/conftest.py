"""What the tests of this suite share."""

import secrets

import pytest


@pytest.fixture
def place_order(services, http):
    """Give a function that places an order and returns the response."""

    def place(**order):
        url = f"{services['orders'].url}/orders"
        return http.post(url, json=order, headers={"Idempotency-Key": secrets.token_hex(8)})

    return place
