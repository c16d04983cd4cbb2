"""What identity decides: pure, without clock, database or network."""
