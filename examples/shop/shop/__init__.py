"""A shop of three services: orders takes an order, inventory reserves, payments charges."""
