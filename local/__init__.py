"""The laptop: private PostgreSQL and RabbitMQ, a Stripe stand-in, a mailbox, and what starts and watches them all."""
