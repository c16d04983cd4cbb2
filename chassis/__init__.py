"""What is the same in every service: its database, its place on the broker, its health, its start and its end."""
