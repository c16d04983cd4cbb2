-- Of subscriptions and payment methods mails say what comes next.

CREATE TABLE copy_subscription (
    id uuid PRIMARY KEY, merchant_id uuid, sequence bigint NOT NULL, deleted boolean NOT NULL DEFAULT false,
    state jsonb NOT NULL
);

CREATE TABLE copy_payment_method (
    id uuid PRIMARY KEY, merchant_id uuid, sequence bigint NOT NULL, deleted boolean NOT NULL DEFAULT false,
    state jsonb NOT NULL
);

CREATE TABLE copy_defaults (
    id uuid PRIMARY KEY, merchant_id uuid, sequence bigint NOT NULL, deleted boolean NOT NULL DEFAULT false,
    state jsonb NOT NULL
);

-- Days as ISO 8601 writes them sort as texts do.
CREATE INDEX copy_subscription_next ON copy_subscription ((state->'next_charge'->>'on')) WHERE state->>'status' = 'active';
