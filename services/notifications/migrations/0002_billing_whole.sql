-- Of subscriptions and payment methods mails say what comes next.

CREATE TABLE copy_subscription (
    id uuid PRIMARY KEY, merchant_id uuid, sequence bigint NOT NULL, deleted boolean NOT NULL DEFAULT false,
    state jsonb NOT NULL
);

CREATE TABLE copy_payment_method (
    id uuid PRIMARY KEY, merchant_id uuid, sequence bigint NOT NULL, deleted boolean NOT NULL DEFAULT false,
    state jsonb NOT NULL
);
