"""Who asks, across services: identity gives tokens, front passes them on, records trusts no one."""
