"""``python -m shop orders``: run one of the services, configured by its environment."""

from __future__ import annotations

import sys
from importlib import import_module

from shop.service import serve

# The shop; and the small ones of the other examples, each named after what it is there to show.
SERVICES = (
    *("orders", "payments", "inventory"),
    *("rates", "quotes", "ledger", "mirror", "orderbook", "worker", "front"),
    *("router", "accounts"),
    *("signup.users", "signup.profiles", "signup.mail"),
    *("fulfilment.orders", "fulfilment.inventory", "fulfilment.payments", "fulfilment.shipping"),
    *("saga", "shipping"),
    *("sourcing.wallets", "sourcing.balances"),
    *("catalogue", "tickets"),
    *("dispatch.orders", "dispatch.billing", "dispatch.packing"),
    *("auth.identity", "auth.front", "auth.records"),
)


def main() -> None:
    if len(sys.argv) != 2 or sys.argv[1] not in SERVICES:
        sys.exit(f"usage: python -m shop {'|'.join(SERVICES)}")
    serve(import_module(f"shop.{sys.argv[1]}").application())


if __name__ == "__main__":
    main()
