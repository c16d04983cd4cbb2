-- What a person has decided of an automatic charge that nobody will ever answer for, since its account is closed to us.
CREATE TABLE decided_charge (
    payment_id uuid PRIMARY KEY REFERENCES payment (id),
    -- The processor's id of the payment that took the money; null: it took none.
    intent_id text,
    reason text NOT NULL,
    decided_by text NOT NULL,
    decided_at timestamptz NOT NULL
);
