"""What people and other front ends talk to: pages, the JSON API, live changes, sessions, and a read model of everything."""
