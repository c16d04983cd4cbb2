-- What changed what a customer owes, as it was booked and on that day. Never changed afterwards: a statement of a past period
-- says the same whenever it is asked for.
CREATE TABLE account_entry (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    merchant_id uuid NOT NULL,
    customer_id uuid NOT NULL,
    at timestamptz NOT NULL,
    kind text NOT NULL,
    -- The number of the invoice, receipt or credit note.
    reference text,
    -- Positive: the customer owes more.
    amount bigint NOT NULL,
    currency text NOT NULL
);
CREATE INDEX account_entry_by_customer ON account_entry (merchant_id, customer_id, at);

INSERT INTO account_entry (merchant_id, customer_id, at, kind, reference, amount, currency)
SELECT merchant_id, customer_id, at, kind, reference, amount, currency FROM (
    SELECT merchant_id, customer_id, opened_at AS at, 1 AS place, 'invoice' AS kind, number AS reference, total AS amount,
           currency, id
    FROM invoice WHERE opened_at IS NOT NULL
    UNION ALL
    SELECT merchant_id, customer_id, closed_at, 2, CASE status WHEN 'void' THEN 'withdrawn' ELSE 'written_off' END, number,
           amount_paid - total, currency, id
    FROM invoice WHERE status IN ('void', 'uncollectible')
    UNION ALL
    SELECT merchant_id, customer_id, settled_at, 3, 'payment', receipt_number, -amount, currency, id
    FROM payment WHERE status = 'succeeded'
    UNION ALL
    SELECT merchant_id, customer_id, (state->>'issued_at')::timestamptz, 4, 'credit_note', credit_note_number,
           -(state->>'credited')::bigint, currency, id
    FROM refund WHERE state->>'issued_at' IS NOT NULL AND credit_note_number IS NOT NULL
    UNION ALL
    SELECT merchant_id, customer_id, (state->>'issued_at')::timestamptz, 5, 'refund', credit_note_number, amount, currency, id
    FROM refund WHERE state->>'issued_at' IS NOT NULL
    UNION ALL
    SELECT merchant_id, customer_id, (state->>'settled_at')::timestamptz, 6, 'refund_failed', credit_note_number, -amount,
           currency, id
    FROM refund WHERE state->>'issued_at' IS NOT NULL AND status = 'failed'
    UNION ALL
    SELECT merchant_id, customer_id, (state->>'settled_at')::timestamptz, 7, 'credit_note_reversed', credit_note_number,
           (state->>'credited')::bigint, currency, id
    FROM refund WHERE state->>'issued_at' IS NOT NULL AND credit_note_number IS NOT NULL AND status = 'failed'
    UNION ALL
    SELECT merchant_id, customer_id, (state->>'opened_at')::timestamptz, 8, 'dispute', NULL, amount, currency, id
    FROM dispute WHERE NOT (state->>'inquiry')::boolean
    UNION ALL
    SELECT merchant_id, customer_id, (state->>'closed_at')::timestamptz, 9, 'dispute_won', NULL, -amount, currency, id
    FROM dispute WHERE status = 'won' AND NOT (state->>'inquiry')::boolean
) AS booked ORDER BY at, place, id;

-- They were for statements alone.
DROP INDEX invoice_by_customer;
DROP INDEX payment_by_customer;
DROP INDEX refund_by_customer;
DROP INDEX dispute_by_customer;
