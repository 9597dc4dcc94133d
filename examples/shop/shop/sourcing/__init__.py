"""Money as a history: wallets keeps every event, balances reads them and knows the sums."""
