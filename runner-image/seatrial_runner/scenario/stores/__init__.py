"""Key-value and document stores: connections, and what they give as JSON."""
