"""SQL databases: connections, transactions across steps, statements, rows and errors as JSON."""
