-- A statement reads all that one customer's account ever moved: beside two million invoices of their merchant's it must not
-- read those, too.
CREATE INDEX invoice_by_customer ON invoice (merchant_id, customer_id);
CREATE INDEX payment_by_customer ON payment (merchant_id, customer_id) WHERE status = 'succeeded';
CREATE INDEX refund_by_customer ON refund (merchant_id, customer_id);
CREATE INDEX dispute_by_customer ON dispute (merchant_id, customer_id);
