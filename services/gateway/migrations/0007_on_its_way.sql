-- What is on its way to pay an invoice: a debit is processed for days, and whoever gave it is not asked again meanwhile.
ALTER TABLE copy_invoice
    ADD COLUMN amount_processing bigint GENERATED ALWAYS AS (coalesce((state->>'amount_processing')::bigint, 0)) STORED;
CREATE INDEX copy_invoice_of_customer_processing ON copy_invoice (customer_id)
    WHERE status = 'open' AND amount_processing > 0;
