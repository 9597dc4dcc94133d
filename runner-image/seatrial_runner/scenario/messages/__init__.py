"""Messages that a scenario has received: kept, read and judged. No broker is known here."""
