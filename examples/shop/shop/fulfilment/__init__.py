"""
Five services, one of them in Go, that process an order: examples/order-processing.

Each waits for an event, does its part, and publishes what it did; the next one waits for that.
An event may come twice, so each part has the order for its key and is done once.
"""
