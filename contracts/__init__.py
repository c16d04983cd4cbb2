"""The messages of the customer portal: what its services, and systems that subscribe to it, say to each other."""
