-- Every five minutes the methods and wallets of all merchants are asked for that are to be acted upon. Each of these indexes
-- holds those alone, or is entered where those are: the many that nothing is due for are not read.

-- Cards whose last day is over, that still count as working; those whose last day the customer has not been told of.
CREATE INDEX payment_method_to_expire ON payment_method (expires_on) WHERE working AND NOT removed;
CREATE INDEX payment_method_to_tell ON payment_method (expires_on)
    WHERE NOT removed AND expiry_told IS DISTINCT FROM expires_on;
DROP INDEX payment_method_expiring;

-- Methods that work, and those that do not because their account was left: of one merchant, by their account.
CREATE INDEX payment_method_working ON payment_method (merchant_id, account) WHERE working AND NOT removed;
CREATE INDEX payment_method_left ON payment_method (merchant_id, account)
    WHERE NOT removed AND state->>'failure' = 'account_changed';
