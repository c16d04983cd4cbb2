ALTER TABLE counter DROP CONSTRAINT counter_kind_check;
ALTER TABLE counter ADD CHECK (kind IN ('invoice', 'receipt', 'credit_note'));

-- What a subscription, a payment plan asks for and how it stands. `terms` never change once it is accepted; `standing` is
-- the domain's. The columns beside them are what is looked up.
CREATE TABLE subscription (
    id uuid PRIMARY KEY,
    merchant_id uuid NOT NULL,
    customer_id uuid NOT NULL,
    sequence bigint NOT NULL,
    kind text NOT NULL CHECK (kind IN ('recurring', 'payment_plan')),
    status text NOT NULL CHECK (status IN ('pending', 'active', 'paused', 'cancelled', 'completed')),
    state jsonb NOT NULL,
    standing jsonb NOT NULL,
    link_token_sha256 text UNIQUE,
    link_generation int NOT NULL DEFAULT 1,
    payment_method_id uuid,
    -- When the calendar has something to do: a charge, a planned pause, its end, a planned cancellation.
    next_turn_at timestamptz,
    created_at timestamptz NOT NULL
);
CREATE INDEX subscription_to_turn ON subscription (next_turn_at) WHERE next_turn_at IS NOT NULL;
CREATE INDEX subscription_by_merchant ON subscription (merchant_id, id);
CREATE INDEX subscription_by_customer ON subscription (merchant_id, customer_id);
CREATE INDEX subscription_by_method ON subscription (payment_method_id) WHERE payment_method_id IS NOT NULL;

ALTER TABLE invoice
    ADD COLUMN subscription_id uuid REFERENCES subscription (id),
    ADD COLUMN period jsonb,
    ADD COLUMN instalment int CHECK (instalment > 0),
    ADD COLUMN collection jsonb,
    ADD COLUMN allow_partial boolean NOT NULL DEFAULT false,
    ADD COLUMN amount_refunded bigint NOT NULL DEFAULT 0 CHECK (amount_refunded >= 0),
    ADD COLUMN amount_disputed bigint NOT NULL DEFAULT 0 CHECK (amount_disputed >= 0),
    ADD COLUMN credit_notes jsonb NOT NULL DEFAULT '[]',
    ADD COLUMN replaces uuid REFERENCES invoice (id),
    -- Which of its subscription's charges it is: whatever is repeated, each is made once.
    ADD COLUMN charge_number int CHECK (charge_number > 0),
    -- When it is charged (again) without anybody being there.
    ADD COLUMN next_try_at timestamptz,
    ADD UNIQUE (subscription_id, charge_number),
    ADD CHECK ((subscription_id IS NULL) = (charge_number IS NULL));
CREATE INDEX invoice_to_try ON invoice (next_try_at) WHERE next_try_at IS NOT NULL;
CREATE INDEX invoice_open_by_customer ON invoice (merchant_id, customer_id) WHERE status = 'open';
CREATE INDEX invoice_link ON invoice ((link->>'token_sha256'));

ALTER TABLE payment
    ADD COLUMN automatic boolean NOT NULL DEFAULT false,
    ADD COLUMN payment_method_id uuid,
    -- Until then a worker is asking Stripe for it.
    ADD COLUMN claimed_until timestamptz,
    -- May pass `amount` for a moment: one of ours is under way while somebody refunds all of it at Stripe.
    ADD COLUMN amount_refunded bigint NOT NULL DEFAULT 0 CHECK (amount_refunded >= 0),
    ADD COLUMN amount_disputed bigint NOT NULL DEFAULT 0 CHECK (amount_disputed >= 0);
CREATE INDEX payment_to_charge ON payment (created_at) WHERE automatic AND status IN ('created', 'unknown');

-- The customer as Stripe knows it, one per account. Its payment methods change under this row's lock. A look at them gets
-- its number before Stripe is asked: one that is overtaken by a later look that has been kept says nothing new.
CREATE TABLE stripe_customer (
    merchant_id uuid NOT NULL,
    customer_id uuid NOT NULL,
    account text NOT NULL DEFAULT '',
    stripe_id text,
    looks bigint NOT NULL DEFAULT 0,
    look_kept bigint NOT NULL DEFAULT 0,
    looked_at timestamptz,
    -- Since then their old debt is to be collected from a new default method.
    collect_since timestamptz,
    PRIMARY KEY (merchant_id, customer_id, account),
    UNIQUE (account, stripe_id)
);
CREATE INDEX stripe_customer_to_look_at ON stripe_customer (looked_at NULLS FIRST) WHERE stripe_id IS NOT NULL;
CREATE INDEX stripe_customer_to_collect ON stripe_customer (collect_since) WHERE collect_since IS NOT NULL;

-- `stripe_id` is the newest of the objects by which Stripe knows the same card (`fingerprint`); `expiry_told` the last day
-- that the customer has been told of.
CREATE TABLE payment_method (
    id uuid PRIMARY KEY,
    merchant_id uuid NOT NULL,
    customer_id uuid NOT NULL,
    sequence bigint NOT NULL,
    account text NOT NULL DEFAULT '',
    stripe_id text NOT NULL,
    is_default boolean NOT NULL,
    working boolean NOT NULL DEFAULT true,
    removed boolean NOT NULL DEFAULT false,
    fingerprint text,
    expires_on date,
    expiry_told date,
    state jsonb NOT NULL,
    created_at timestamptz NOT NULL,
    UNIQUE (account, stripe_id)
);
CREATE UNIQUE INDEX one_default_method ON payment_method (merchant_id, customer_id) WHERE is_default AND NOT removed;
CREATE INDEX payment_method_by_customer ON payment_method (merchant_id, customer_id) WHERE NOT removed;
CREATE INDEX payment_method_expiring ON payment_method (expires_on) WHERE NOT removed;

-- A hosted page on which a customer gives us a payment method: pressed again, it is resumed.
CREATE TABLE setup (
    id uuid PRIMARY KEY,
    merchant_id uuid NOT NULL,
    customer_id uuid NOT NULL,
    account text NOT NULL DEFAULT '',
    subscription_id uuid REFERENCES subscription (id),
    command_id text NOT NULL,
    payer text NOT NULL,
    correlation_id text NOT NULL,
    status text NOT NULL CHECK (status IN ('created', 'done', 'ended')),
    request jsonb NOT NULL,
    session_id text UNIQUE,
    session_url text,
    created_at timestamptz NOT NULL,
    UNIQUE (merchant_id, payer, command_id)
);
CREATE INDEX setup_not_ended ON setup (created_at) WHERE status = 'created';

CREATE TABLE refund (
    id uuid PRIMARY KEY,
    merchant_id uuid NOT NULL,
    customer_id uuid NOT NULL,
    invoice_id uuid NOT NULL REFERENCES invoice (id),
    payment_id uuid NOT NULL REFERENCES payment (id),
    sequence bigint NOT NULL,
    status text NOT NULL CHECK (status IN ('created', 'processing', 'succeeded', 'failed', 'unknown')),
    amount bigint NOT NULL CHECK (amount > 0),
    currency text NOT NULL,
    credit_note_number text,
    state jsonb NOT NULL,
    account text,
    stripe_id text UNIQUE,
    command_id text,
    correlation_id text NOT NULL,
    created_at timestamptz NOT NULL,
    UNIQUE (merchant_id, credit_note_number)
);
CREATE INDEX refund_by_payment ON refund (payment_id);
CREATE INDEX refund_by_command ON refund (invoice_id, command_id);
CREATE INDEX refund_not_ended ON refund (created_at) WHERE status IN ('created', 'unknown');
CREATE INDEX refund_booked ON refund (created_at) WHERE stripe_id IS NOT NULL;
CREATE INDEX refund_by_merchant ON refund (merchant_id, id);

CREATE TABLE dispute (
    id uuid PRIMARY KEY,
    merchant_id uuid NOT NULL,
    customer_id uuid NOT NULL,
    invoice_id uuid NOT NULL REFERENCES invoice (id),
    payment_id uuid NOT NULL REFERENCES payment (id),
    sequence bigint NOT NULL,
    status text NOT NULL CHECK (status IN ('open', 'won', 'lost')),
    amount bigint NOT NULL CHECK (amount > 0),
    currency text NOT NULL,
    state jsonb NOT NULL,
    account text,
    stripe_id text NOT NULL UNIQUE,
    created_at timestamptz NOT NULL
);
CREATE INDEX dispute_open ON dispute (created_at) WHERE status = 'open';
CREATE INDEX dispute_by_payment ON dispute (payment_id);
CREATE INDEX dispute_by_merchant ON dispute (merchant_id, id);

-- What a merchant wants unless it says otherwise; a merchant without a row has the defaults of the contract.
CREATE TABLE billing_defaults (
    merchant_id uuid PRIMARY KEY,
    sequence bigint NOT NULL,
    state jsonb NOT NULL,
    -- The connected account that its money goes to; the platform's own when there is none.
    stripe_account text UNIQUE
);

CREATE TABLE reconciliation (
    merchant_id uuid PRIMARY KEY,
    sequence bigint NOT NULL,
    state jsonb NOT NULL
);

ALTER TABLE stripe_cursor
    -- When it last looked at everything of the last thirty days: refunds fail late, and disputes are decided late.
    ADD COLUMN looked_back_at timestamptz;
CREATE INDEX payment_booked ON payment (settled_at) WHERE status = 'succeeded';
