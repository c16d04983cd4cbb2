"""Merchants and their teams, customers and their contacts, the people behind them, and how they get in."""
