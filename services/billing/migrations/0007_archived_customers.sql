-- Customers who were archived or erased, until nothing of theirs is charged any more.
CREATE TABLE customer_to_close (
    merchant_id uuid NOT NULL,
    customer_id uuid NOT NULL,
    due_at timestamptz NOT NULL,
    PRIMARY KEY (merchant_id, customer_id)
);
CREATE INDEX customer_to_close_due ON customer_to_close (due_at);
