"""What the events of a wallet come to. Pure: the same events give the same wallet, always."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

# Adds to the balance, or takes from it.
SIGNS = {"deposited": 1, "withdrawn": -1}


class NotEnoughError(Exception):
    """More is taken than there is."""


@dataclass(frozen=True)
class Wallet:
    """How a wallet stands after so many events: its version is how many there were."""

    id: str
    version: int = 0
    balance: int = 0
    largest: int = 0  # what was ever in it at most: cannot be told from the balance alone

    def after(self, event: Mapping[str, Any]) -> Wallet:
        """
        Give the wallet as it is after an event.

        Raises:
            NotEnoughError: The event takes more than there is.
        """
        balance = self.balance + SIGNS[event["type"]] * event["amount"]
        if balance < 0:
            raise NotEnoughError(f"{self.id} has {self.balance}, less than {event['amount']}")
        largest = max(self.largest, balance)
        return replace(self, version=self.version + 1, balance=balance, largest=largest)

    def replay(self, events: Iterable[Mapping[str, Any]]) -> Wallet:
        wallet = self
        for event in events:
            wallet = wallet.after(event)
        return wallet

    def as_json(self) -> dict[str, Any]:
        return asdict(self)
