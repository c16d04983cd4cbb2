-- The read model: the newest state of every noun, unparsed, beside the columns that pages filter and sort by. Those are
-- generated, so that a new one is a local migration. Ids are UUIDv7, so "newest first" is ORDER BY id DESC.
-- `audience` says who may be told that a row changed: both, members, contacts, or the person that it is about.

CREATE TABLE copy_merchant (
    id uuid PRIMARY KEY, merchant_id uuid, sequence bigint NOT NULL, deleted boolean NOT NULL DEFAULT false,
    state jsonb NOT NULL,
    customer_id uuid GENERATED ALWAYS AS (NULL::uuid) STORED,
    audience text GENERATED ALWAYS AS ('both') STORED
);

CREATE TABLE copy_logo (
    id uuid PRIMARY KEY, merchant_id uuid, sequence bigint NOT NULL, deleted boolean NOT NULL DEFAULT false,
    state jsonb NOT NULL,
    customer_id uuid GENERATED ALWAYS AS (NULL::uuid) STORED,
    audience text GENERATED ALWAYS AS ('both') STORED
);

CREATE TABLE copy_person (
    id uuid PRIMARY KEY, merchant_id uuid, sequence bigint NOT NULL, deleted boolean NOT NULL DEFAULT false,
    state jsonb NOT NULL,
    customer_id uuid GENERATED ALWAYS AS (NULL::uuid) STORED,
    audience text GENERATED ALWAYS AS ('person') STORED
);

CREATE TABLE copy_member (
    id uuid PRIMARY KEY, merchant_id uuid, sequence bigint NOT NULL, deleted boolean NOT NULL DEFAULT false,
    state jsonb NOT NULL,
    customer_id uuid GENERATED ALWAYS AS (NULL::uuid) STORED,
    audience text GENERATED ALWAYS AS ('members') STORED,
    person_id uuid GENERATED ALWAYS AS ((state->>'person_id')::uuid) STORED,
    role text GENERATED ALWAYS AS (state->>'role') STORED
);
CREATE INDEX copy_member_by_person ON copy_member (person_id) WHERE NOT deleted;

CREATE TABLE copy_customer (
    id uuid PRIMARY KEY, merchant_id uuid, sequence bigint NOT NULL, deleted boolean NOT NULL DEFAULT false,
    state jsonb NOT NULL,
    customer_id uuid GENERATED ALWAYS AS ((state->>'id')::uuid) STORED,
    audience text GENERATED ALWAYS AS ('both') STORED,
    name text GENERATED ALWAYS AS (state->>'name') STORED,
    portal_access text GENERATED ALWAYS AS (state->>'portal_access') STORED,
    archived boolean GENERATED ALWAYS AS ((state->>'archived')::boolean) STORED,
    -- Every run of letters and digits in name, company and e-mail is a word that a search may begin.
    search tsvector GENERATED ALWAYS AS (to_tsvector('simple', regexp_replace(
        lower(coalesce(state->>'name', '') || ' ' || coalesce(state->>'company', '') || ' ' || coalesce(state->>'email', '')),
        '[^[:alnum:]]+', ' ', 'g'))) STORED
);
CREATE INDEX copy_customer_of_merchant ON copy_customer (merchant_id, archived, id);
CREATE INDEX copy_customer_search ON copy_customer USING gin (search) WITH (fastupdate = off);

CREATE TABLE copy_contact (
    id uuid PRIMARY KEY, merchant_id uuid, sequence bigint NOT NULL, deleted boolean NOT NULL DEFAULT false,
    state jsonb NOT NULL,
    customer_id uuid GENERATED ALWAYS AS ((state->>'customer_id')::uuid) STORED,
    audience text GENERATED ALWAYS AS ('both') STORED,
    person_id uuid GENERATED ALWAYS AS ((state->>'person_id')::uuid) STORED,
    role text GENERATED ALWAYS AS (state->>'role') STORED,
    active boolean GENERATED ALWAYS AS ((state->>'active')::boolean) STORED
);
CREATE INDEX copy_contact_by_person ON copy_contact (person_id) WHERE NOT deleted;
CREATE INDEX copy_contact_of_customer ON copy_contact (customer_id, id);

CREATE TABLE copy_invitation (
    id uuid PRIMARY KEY, merchant_id uuid, sequence bigint NOT NULL, deleted boolean NOT NULL DEFAULT false,
    state jsonb NOT NULL,
    customer_id uuid GENERATED ALWAYS AS ((state->>'customer_id')::uuid) STORED,
    audience text GENERATED ALWAYS AS ('members') STORED,
    status text GENERATED ALWAYS AS (state->>'status') STORED
);
CREATE INDEX copy_invitation_of_customer ON copy_invitation (customer_id, id);

CREATE TABLE copy_invoice (
    id uuid PRIMARY KEY, merchant_id uuid, sequence bigint NOT NULL, deleted boolean NOT NULL DEFAULT false,
    state jsonb NOT NULL,
    customer_id uuid GENERATED ALWAYS AS ((state->>'customer_id')::uuid) STORED,
    audience text GENERATED ALWAYS AS (CASE WHEN state->>'status' = 'draft' THEN 'members' ELSE 'both' END) STORED,
    status text GENERATED ALWAYS AS (state->>'status') STORED,
    currency text GENERATED ALWAYS AS (state->>'currency') STORED,
    amount_due bigint GENERATED ALWAYS AS ((state->>'amount_due')::bigint) STORED,
    due_on date GENERATED ALWAYS AS (iso_date(state->>'due_on')) STORED,
    paid_at timestamptz GENERATED ALWAYS AS (iso_timestamp(state->>'paid_at')) STORED,
    declined boolean GENERATED ALWAYS AS (state->>'last_decline' IS NOT NULL) STORED,
    link_sha256 text GENERATED ALWAYS AS (state->'link'->>'token_sha256') STORED
);
CREATE INDEX copy_invoice_of_merchant ON copy_invoice (merchant_id, id);
CREATE INDEX copy_invoice_of_merchant_by_status ON copy_invoice (merchant_id, status, id);
CREATE INDEX copy_invoice_of_merchant_by_due ON copy_invoice (merchant_id, due_on, id) WHERE status = 'open';
CREATE INDEX copy_invoice_of_merchant_declined ON copy_invoice (merchant_id, id) WHERE status = 'open' AND declined;
CREATE INDEX copy_invoice_of_customer ON copy_invoice (customer_id, id);
CREATE INDEX copy_invoice_of_customer_by_status ON copy_invoice (customer_id, status, id);
CREATE INDEX copy_invoice_of_customer_by_due ON copy_invoice (customer_id, due_on, id) WHERE status = 'open';
CREATE INDEX copy_invoice_of_customer_paid ON copy_invoice (customer_id, paid_at DESC, id DESC) WHERE status = 'paid';
-- Not unique: a copy takes what the owner says, and a clash would stop the queue for ever.
CREATE INDEX copy_invoice_by_link ON copy_invoice (link_sha256);

CREATE TABLE copy_payment (
    id uuid PRIMARY KEY, merchant_id uuid, sequence bigint NOT NULL, deleted boolean NOT NULL DEFAULT false,
    state jsonb NOT NULL,
    customer_id uuid GENERATED ALWAYS AS ((state->>'customer_id')::uuid) STORED,
    audience text GENERATED ALWAYS AS ('both') STORED,
    invoice_id uuid GENERATED ALWAYS AS ((state->>'invoice_id')::uuid) STORED,
    status text GENERATED ALWAYS AS (state->>'status') STORED,
    currency text GENERATED ALWAYS AS (state->>'currency') STORED,
    amount bigint GENERATED ALWAYS AS ((state->>'amount')::bigint) STORED,
    settled_at timestamptz GENERATED ALWAYS AS (iso_timestamp(state->>'settled_at')) STORED
);
CREATE INDEX copy_payment_of_merchant ON copy_payment (merchant_id, id);
CREATE INDEX copy_payment_of_customer ON copy_payment (customer_id, id);
CREATE INDEX copy_payment_of_invoice ON copy_payment (invoice_id, id);

CREATE TABLE copy_todo (
    id uuid PRIMARY KEY, merchant_id uuid, sequence bigint NOT NULL, deleted boolean NOT NULL DEFAULT false,
    state jsonb NOT NULL,
    customer_id uuid GENERATED ALWAYS AS ((state->>'customer_id')::uuid) STORED,
    -- A customer's own to-do is nobody else's business until they share it.
    members_may_see boolean GENERATED ALWAYS AS (state->>'origin' <> 'own' OR (state->>'shared')::boolean) STORED,
    audience text GENERATED ALWAYS AS (
        CASE WHEN state->>'origin' <> 'own' OR (state->>'shared')::boolean THEN 'both' ELSE 'contacts' END) STORED,
    status text GENERATED ALWAYS AS (state->>'status') STORED,
    due_on date GENERATED ALWAYS AS (iso_date(state->>'due_on')) STORED
);
CREATE INDEX copy_todo_of_merchant ON copy_todo (merchant_id, id) WHERE members_may_see;
CREATE INDEX copy_todo_of_customer ON copy_todo (customer_id, status, id);
CREATE INDEX copy_todo_of_customer_by_due ON copy_todo (customer_id, due_on, id) WHERE status = 'open';

CREATE TABLE copy_mail (
    id uuid PRIMARY KEY, merchant_id uuid, sequence bigint NOT NULL, deleted boolean NOT NULL DEFAULT false,
    state jsonb NOT NULL,
    customer_id uuid GENERATED ALWAYS AS ((state->>'customer_id')::uuid) STORED,
    audience text GENERATED ALWAYS AS ('members') STORED,
    subject_id uuid GENERATED ALWAYS AS ((state->>'subject_id')::uuid) STORED,
    invoice_id uuid GENERATED ALWAYS AS ((state->>'invoice_id')::uuid) STORED
);
CREATE INDEX copy_mail_by_subject ON copy_mail (subject_id, id);
CREATE INDEX copy_mail_by_invoice ON copy_mail (invoice_id, id);

-- The places that a person may work in, as they are now.
CREATE FUNCTION accounts_of(person uuid)
    RETURNS TABLE (id uuid, kind text, name text, role text, merchant_id uuid, merchant_name text)
    LANGUAGE sql STABLE AS $$
    SELECT m.merchant_id, 'merchant', b.state->>'name', m.role, m.merchant_id, b.state->>'name'
    FROM copy_member AS m JOIN copy_merchant AS b ON b.id = m.merchant_id AND NOT b.deleted
    WHERE m.person_id = person AND NOT m.deleted
    UNION ALL
    SELECT c.customer_id, 'customer', k.name, c.role, c.merchant_id, b.state->>'name'
    FROM copy_contact AS c
    JOIN copy_customer AS k ON k.id = c.customer_id AND NOT k.deleted AND NOT k.archived AND k.portal_access <> 'disabled'
    JOIN copy_merchant AS b ON b.id = c.merchant_id AND NOT b.deleted
    WHERE c.person_id = person AND NOT c.deleted AND c.active
$$;

-- What happened, read off the envelopes: one line per event that is about a customer. `members` and `contacts` say which
-- side may read it.
CREATE TABLE timeline (
    event_id text PRIMARY KEY,
    merchant_id uuid NOT NULL,
    customer_id uuid NOT NULL,
    at timestamptz NOT NULL,
    type text NOT NULL,
    noun text NOT NULL,
    subject_id uuid NOT NULL,
    actor_kind text NOT NULL,
    actor_id uuid,
    causation_id text,
    correlation_id text NOT NULL,
    about jsonb NOT NULL,
    members boolean NOT NULL,
    contacts boolean NOT NULL
);
CREATE INDEX timeline_of_customer ON timeline (customer_id, at DESC, event_id DESC);
CREATE INDEX timeline_of_merchant ON timeline (merchant_id, at DESC, event_id DESC);
