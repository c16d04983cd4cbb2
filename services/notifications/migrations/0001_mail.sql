-- One row per logical e-mail, and what we know of the nouns that mails are about.

CREATE TABLE mail (
    id uuid PRIMARY KEY,
    sequence bigint NOT NULL DEFAULT 1,
    merchant_id uuid NOT NULL,
    customer_id uuid,
    template text NOT NULL,
    subject_kind text NOT NULL,
    subject_id uuid NOT NULL,
    invoice_id uuid,
    -- The id of the event that caused it.
    occasion text NOT NULL,
    correlation_id text NOT NULL,
    recipient text NOT NULL,
    message_id text NOT NULL UNIQUE,
    -- The event's data: what a report says, and what the others say where the owner's answer is silent. No secrets.
    event jsonb NOT NULL,
    status text NOT NULL DEFAULT 'queued'
        CHECK (status IN ('queued', 'sending', 'accepted', 'failed', 'bounced', 'dropped', 'in_doubt')),
    reason text,
    queued_at timestamptz NOT NULL,
    settled_at timestamptz,
    -- Temporary refusals so far.
    tries integer NOT NULL DEFAULT 0,
    due_at timestamptz NOT NULL,
    -- Who is at it. A new claim writes a new id, so a worker that was frozen finds its own gone.
    lease uuid,
    lease_until timestamptz,
    UNIQUE (template, subject_id, occasion, recipient)
);
CREATE INDEX mail_due ON mail (due_at) WHERE status = 'queued';
CREATE INDEX mail_under_way ON mail (lease_until) WHERE status = 'sending';

CREATE TABLE copy_merchant (
    id uuid PRIMARY KEY, merchant_id uuid, sequence bigint NOT NULL, deleted boolean NOT NULL DEFAULT false,
    state jsonb NOT NULL
);

CREATE TABLE copy_logo (
    id uuid PRIMARY KEY, merchant_id uuid, sequence bigint NOT NULL, deleted boolean NOT NULL DEFAULT false,
    state jsonb NOT NULL
);

CREATE TABLE copy_member (
    id uuid PRIMARY KEY, merchant_id uuid, sequence bigint NOT NULL, deleted boolean NOT NULL DEFAULT false,
    state jsonb NOT NULL
);

CREATE TABLE copy_customer (
    id uuid PRIMARY KEY, merchant_id uuid, sequence bigint NOT NULL, deleted boolean NOT NULL DEFAULT false,
    state jsonb NOT NULL
);

CREATE TABLE copy_contact (
    id uuid PRIMARY KEY, merchant_id uuid, sequence bigint NOT NULL, deleted boolean NOT NULL DEFAULT false,
    state jsonb NOT NULL,
    customer_id uuid GENERATED ALWAYS AS ((state->>'customer_id')::uuid) STORED,
    active boolean GENERATED ALWAYS AS ((state->>'active')::boolean) STORED
);
CREATE INDEX copy_contact_by_customer ON copy_contact (customer_id);

CREATE TABLE copy_invoice (
    id uuid PRIMARY KEY, merchant_id uuid, sequence bigint NOT NULL, deleted boolean NOT NULL DEFAULT false,
    state jsonb NOT NULL
);
