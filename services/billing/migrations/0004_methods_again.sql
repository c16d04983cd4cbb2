-- A method that is gone here may be seen again: a merchant comes back to the account that it has left. It is a new row then.
ALTER TABLE payment_method DROP CONSTRAINT payment_method_account_stripe_id_key;
CREATE UNIQUE INDEX payment_method_there ON payment_method (account, stripe_id) WHERE NOT removed;
CREATE INDEX payment_method_at_stripe ON payment_method (account, stripe_id);
