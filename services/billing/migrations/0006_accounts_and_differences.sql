-- When its money began to go to another account: payment methods given before stay where they are (`account_changed`).
ALTER TABLE billing_defaults ADD COLUMN account_changed_at timestamptz;
UPDATE billing_defaults SET account_changed_at = now() WHERE stripe_account IS NOT NULL;

-- What Stripe's books and ours do not agree on, from when it is first seen until it is explained, and thirty days longer.
CREATE TABLE difference (
    -- '' is the platform's own.
    account text NOT NULL,
    what text NOT NULL CHECK (what IN ('payment', 'refund', 'dispute')),
    stripe_id text NOT NULL,
    merchant_id uuid NOT NULL,
    state jsonb NOT NULL,
    since timestamptz NOT NULL,
    asked_at timestamptz NOT NULL,
    resolved_at timestamptz,
    PRIMARY KEY (account, what, stripe_id)
);
CREATE INDEX difference_open ON difference (account, asked_at) WHERE resolved_at IS NULL;
CREATE INDEX difference_by_merchant ON difference (merchant_id, since);

-- Every account at which money of the merchant's has been compared; '' is the platform's own.
ALTER TABLE reconciliation ADD COLUMN accounts text[] NOT NULL DEFAULT '{}';
