-- Stripe's id of what an attempt was paid with.
ALTER TABLE payment ADD COLUMN stripe_method text;
-- Stripe's id of the method that a subscription was accepted with, until our mirror of the customer's methods shows it.
ALTER TABLE subscription ADD COLUMN given_method text;
