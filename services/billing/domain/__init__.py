"""Billing's decisions: pure functions over dates and money. No clock, no database, no network."""
