-- The rest of billing's nouns, kept as the read model keeps every noun.

CREATE TABLE copy_subscription (
    id uuid PRIMARY KEY, merchant_id uuid, sequence bigint NOT NULL, deleted boolean NOT NULL DEFAULT false,
    state jsonb NOT NULL,
    customer_id uuid GENERATED ALWAYS AS ((state->>'customer_id')::uuid) STORED,
    audience text GENERATED ALWAYS AS ('both') STORED,
    status text GENERATED ALWAYS AS (state->>'status') STORED,
    next_charge_on date GENERATED ALWAYS AS (iso_date(state->'next_charge'->>'on')) STORED,
    link_sha256 text GENERATED ALWAYS AS (state->'link'->>'token_sha256') STORED
);
CREATE INDEX copy_subscription_of_merchant ON copy_subscription (merchant_id, status, id);
CREATE INDEX copy_subscription_newest ON copy_subscription (merchant_id, id);
CREATE INDEX copy_subscription_of_customer ON copy_subscription (customer_id, status, id);
CREATE INDEX copy_subscription_next ON copy_subscription (customer_id, next_charge_on) WHERE status = 'active';
CREATE INDEX copy_subscription_by_link ON copy_subscription (link_sha256);

CREATE TABLE copy_payment_method (
    id uuid PRIMARY KEY, merchant_id uuid, sequence bigint NOT NULL, deleted boolean NOT NULL DEFAULT false,
    state jsonb NOT NULL,
    customer_id uuid GENERATED ALWAYS AS ((state->>'customer_id')::uuid) STORED,
    audience text GENERATED ALWAYS AS ('both') STORED,
    is_default boolean GENERATED ALWAYS AS ((state->>'is_default')::boolean) STORED
);
CREATE INDEX copy_payment_method_of_customer ON copy_payment_method (customer_id, id) WHERE NOT deleted;

CREATE TABLE copy_refund (
    id uuid PRIMARY KEY, merchant_id uuid, sequence bigint NOT NULL, deleted boolean NOT NULL DEFAULT false,
    state jsonb NOT NULL,
    customer_id uuid GENERATED ALWAYS AS ((state->>'customer_id')::uuid) STORED,
    audience text GENERATED ALWAYS AS ('both') STORED,
    invoice_id uuid GENERATED ALWAYS AS ((state->>'invoice_id')::uuid) STORED,
    status text GENERATED ALWAYS AS (state->>'status') STORED
);
CREATE INDEX copy_refund_of_merchant ON copy_refund (merchant_id, id);
CREATE INDEX copy_refund_of_invoice ON copy_refund (invoice_id, id);

CREATE TABLE copy_dispute (
    id uuid PRIMARY KEY, merchant_id uuid, sequence bigint NOT NULL, deleted boolean NOT NULL DEFAULT false,
    state jsonb NOT NULL,
    customer_id uuid GENERATED ALWAYS AS ((state->>'customer_id')::uuid) STORED,
    audience text GENERATED ALWAYS AS ('members') STORED,
    invoice_id uuid GENERATED ALWAYS AS ((state->>'invoice_id')::uuid) STORED,
    status text GENERATED ALWAYS AS (state->>'status') STORED
);
CREATE INDEX copy_dispute_of_merchant ON copy_dispute (merchant_id, id);
CREATE INDEX copy_dispute_of_invoice ON copy_dispute (invoice_id, id);

CREATE TABLE copy_defaults (
    id uuid PRIMARY KEY, merchant_id uuid, sequence bigint NOT NULL, deleted boolean NOT NULL DEFAULT false,
    state jsonb NOT NULL,
    customer_id uuid GENERATED ALWAYS AS (NULL::uuid) STORED,
    audience text GENERATED ALWAYS AS ('members') STORED
);

CREATE TABLE copy_reconciliation (
    id uuid PRIMARY KEY, merchant_id uuid, sequence bigint NOT NULL, deleted boolean NOT NULL DEFAULT false,
    state jsonb NOT NULL,
    customer_id uuid GENERATED ALWAYS AS (NULL::uuid) STORED,
    audience text GENERATED ALWAYS AS ('members') STORED
);

ALTER TABLE copy_invoice
    ADD COLUMN subscription_id uuid GENERATED ALWAYS AS ((state->>'subscription_id')::uuid) STORED,
    -- The hashes of links that it had before: few invoices have any.
    ADD COLUMN earlier_links jsonb GENERATED ALWAYS AS (nullif(state->'link'->'earlier_sha256', '[]'::jsonb)) STORED;
CREATE INDEX copy_invoice_by_earlier_link ON copy_invoice USING gin (earlier_links) WHERE earlier_links IS NOT NULL;
CREATE INDEX copy_invoice_of_subscription ON copy_invoice (subscription_id, id) WHERE subscription_id IS NOT NULL;
ALTER TABLE copy_payment
    ADD COLUMN surplus boolean GENERATED ALWAYS AS ((state->>'surplus')::boolean) STORED;
CREATE INDEX copy_payment_surplus ON copy_payment (merchant_id, id) WHERE surplus;

CREATE INDEX copy_payment_method_of_merchant ON copy_payment_method (merchant_id, id) WHERE NOT deleted;
CREATE TRIGGER tell_inserted AFTER INSERT ON copy_payment_method
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION tell_inserted('payment_method');
CREATE TRIGGER tell_updated AFTER UPDATE ON copy_payment_method
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION tell_updated('payment_method');

-- What is for the merchant's members is none of the customer's business.
ALTER TABLE copy_todo
    DROP COLUMN audience,
    ADD COLUMN audience text GENERATED ALWAYS AS (
        CASE WHEN state->>'origin' = 'merchant' THEN 'members'
             WHEN state->>'origin' <> 'own' OR (state->>'shared')::boolean THEN 'both' ELSE 'contacts' END) STORED,
    ADD COLUMN contacts_may_see boolean GENERATED ALWAYS AS (state->>'origin' <> 'merchant') STORED;
CREATE INDEX copy_todo_for_merchant ON copy_todo (merchant_id, id) WHERE NOT contacts_may_see;

CREATE TRIGGER tell_inserted AFTER INSERT ON copy_subscription
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION tell_inserted('subscription');
CREATE TRIGGER tell_updated AFTER UPDATE ON copy_subscription
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION tell_updated('subscription');
CREATE TRIGGER tell_inserted AFTER INSERT ON copy_refund
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION tell_inserted('refund');
CREATE TRIGGER tell_updated AFTER UPDATE ON copy_refund
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION tell_updated('refund');
CREATE TRIGGER tell_inserted AFTER INSERT ON copy_dispute
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION tell_inserted('dispute');
CREATE TRIGGER tell_updated AFTER UPDATE ON copy_dispute
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION tell_updated('dispute');
