"""Four services, one of them in Go, that must agree about a user: examples/user-creation."""
