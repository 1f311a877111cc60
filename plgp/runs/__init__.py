"""A training among others: its name in W&B, and how one that stopped goes on."""
