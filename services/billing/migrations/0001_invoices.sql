CREATE TABLE copy_merchant (
    id uuid PRIMARY KEY,
    merchant_id uuid,
    sequence bigint NOT NULL,
    deleted boolean NOT NULL DEFAULT false,
    state jsonb NOT NULL
);

CREATE TABLE copy_logo (
    id uuid PRIMARY KEY,
    merchant_id uuid,
    sequence bigint NOT NULL,
    deleted boolean NOT NULL DEFAULT false,
    state jsonb NOT NULL
);

CREATE TABLE copy_customer (
    id uuid PRIMARY KEY,
    merchant_id uuid,
    sequence bigint NOT NULL,
    deleted boolean NOT NULL DEFAULT false,
    state jsonb NOT NULL,
    archived boolean GENERATED ALWAYS AS ((state->>'archived')::boolean) STORED
);

-- Numbers without gaps: the row is locked last and a number is gone only with its transaction.
CREATE TABLE counter (
    merchant_id uuid NOT NULL,
    kind text NOT NULL CHECK (kind IN ('invoice', 'receipt')),
    last bigint NOT NULL CHECK (last > 0),
    PRIMARY KEY (merchant_id, kind)
);

CREATE TABLE invoice (
    id uuid PRIMARY KEY,
    merchant_id uuid NOT NULL,
    customer_id uuid NOT NULL,
    sequence bigint NOT NULL,
    kind text NOT NULL,
    status text NOT NULL CHECK (status IN ('draft', 'open', 'paid', 'void', 'uncollectible')),
    number text,
    currency text NOT NULL,
    lines jsonb NOT NULL,
    tax_inclusive boolean NOT NULL,
    subtotal bigint NOT NULL CHECK (subtotal >= 0),
    tax_lines jsonb NOT NULL,
    tax bigint NOT NULL CHECK (tax >= 0),
    total bigint NOT NULL CHECK (total > 0),
    amount_paid bigint NOT NULL DEFAULT 0,
    amount_processing bigint NOT NULL DEFAULT 0 CHECK (amount_processing >= 0),
    due_on date NOT NULL,
    memo text,
    seller jsonb,
    buyer jsonb,
    link jsonb,
    link_generation int NOT NULL DEFAULT 1,
    being_paid jsonb,
    last_decline jsonb,
    receipts jsonb NOT NULL DEFAULT '[]',
    last_attempt int NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL,
    opened_at timestamptz,
    paid_at timestamptz,
    closed_at timestamptz,
    UNIQUE (merchant_id, number),
    CHECK (total = subtotal + tax),
    CHECK (amount_paid BETWEEN 0 AND total),
    CHECK ((status = 'paid') = (amount_paid = total)),
    CHECK ((status = 'draft') = (number IS NULL)),
    CHECK (status = 'draft' OR (seller IS NOT NULL AND buyer IS NOT NULL AND link IS NOT NULL))
);
CREATE INDEX invoice_by_merchant ON invoice (merchant_id, id);

CREATE TABLE payment (
    id uuid PRIMARY KEY,
    merchant_id uuid NOT NULL,
    customer_id uuid NOT NULL,
    invoice_id uuid NOT NULL REFERENCES invoice (id),
    sequence bigint NOT NULL,
    attempt int NOT NULL CHECK (attempt > 0),
    status text NOT NULL CHECK (status IN ('created', 'processing', 'succeeded', 'failed', 'requires_action', 'unknown')),
    amount bigint NOT NULL CHECK (amount > 0),
    currency text NOT NULL,
    surplus boolean NOT NULL DEFAULT false,
    method text,
    last4 text,
    decline jsonb,
    receipt_number text,
    created_at timestamptz NOT NULL,
    settled_at timestamptz,
    -- What only we need to know.
    command_id text NOT NULL,
    payer text NOT NULL,
    payer_name text NOT NULL,
    correlation_id text NOT NULL,
    account text,
    request jsonb NOT NULL,
    session_id text UNIQUE,
    session_url text,
    intent_id text UNIQUE,
    close_requested boolean NOT NULL DEFAULT false,
    UNIQUE (invoice_id, attempt),
    UNIQUE (invoice_id, payer, command_id),
    UNIQUE (merchant_id, receipt_number),
    CHECK ((status = 'succeeded') = (settled_at IS NOT NULL))
);
-- Two open checkouts of one invoice could both be paid.
CREATE UNIQUE INDEX one_open_checkout ON payment (invoice_id) WHERE status IN ('created', 'requires_action', 'unknown');
CREATE INDEX payment_not_ended ON payment (created_at) WHERE status IN ('created', 'processing', 'requires_action', 'unknown');
CREATE INDEX payment_to_close ON payment (id) WHERE close_requested;
CREATE INDEX payment_by_merchant ON payment (merchant_id, id);

-- What Stripe told us, kept before it is handled. `payload` is text: exactly what was signed.
CREATE TABLE stripe_event (
    id text PRIMARY KEY,
    type text NOT NULL,
    account text,
    payload text NOT NULL,
    received_at timestamptz NOT NULL,
    status text NOT NULL DEFAULT 'waiting' CHECK (status IN ('waiting', 'done', 'stuck', 'discarded')),
    outcome text,
    tries int NOT NULL DEFAULT 0,
    next_try_at timestamptz NOT NULL,
    last_error text,
    handled_at timestamptz
);
CREATE INDEX stripe_event_waiting ON stripe_event (next_try_at) WHERE status = 'waiting';
CREATE INDEX stripe_event_stuck ON stripe_event (received_at) WHERE status = 'stuck';
CREATE INDEX stripe_event_old ON stripe_event (received_at) WHERE status IN ('done', 'discarded');

-- How far the walk along Stripe's payment intents has come: the creation time (Unix seconds) of the newest one seen.
CREATE TABLE stripe_cursor (
    account text PRIMARY KEY,
    intents_created bigint NOT NULL
);
