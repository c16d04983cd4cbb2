-- Who there is, and who may get in where. `sequence` is a row's version: each announced change adds one.

CREATE TABLE merchant (
    id uuid PRIMARY KEY,
    sequence bigint NOT NULL DEFAULT 1,
    name text NOT NULL,
    support_email text,
    support_phone text,
    brand_colour text NOT NULL DEFAULT '#2457d6',
    address jsonb NOT NULL DEFAULT '{}',
    tax_id text,
    locale text NOT NULL,
    time_zone text NOT NULL,
    currency text NOT NULL,
    created_at timestamptz NOT NULL
);

-- An aggregate of its own, so that the merchant's state stays small.
CREATE TABLE logo (
    merchant_id uuid PRIMARY KEY REFERENCES merchant,
    sequence bigint NOT NULL DEFAULT 1,
    png bytea CHECK (octet_length(png) <= 64000)
);

CREATE TABLE person (
    id uuid PRIMARY KEY,
    sequence bigint NOT NULL DEFAULT 1,
    name text NOT NULL,
    email text NOT NULL,
    locale text NOT NULL,
    time_zone text NOT NULL,
    created_at timestamptz NOT NULL
);
CREATE UNIQUE INDEX person_by_email ON person (lower(email));

-- Apart from the person, so that no query about people can return a hash by accident.
CREATE TABLE credential (
    person_id uuid PRIMARY KEY REFERENCES person,
    password_hash text NOT NULL,
    changed_at timestamptz NOT NULL
);

CREATE TABLE member (
    id uuid PRIMARY KEY,
    sequence bigint NOT NULL DEFAULT 1,
    merchant_id uuid NOT NULL REFERENCES merchant,
    person_id uuid NOT NULL REFERENCES person,
    role text NOT NULL CHECK (role IN ('admin', 'manager', 'sales')),
    created_at timestamptz NOT NULL,
    UNIQUE (merchant_id, person_id)
);
CREATE INDEX member_by_person ON member (person_id);

CREATE TABLE customer (
    id uuid PRIMARY KEY,
    sequence bigint NOT NULL DEFAULT 1,
    merchant_id uuid NOT NULL REFERENCES merchant,
    name text NOT NULL,
    company text,
    email text NOT NULL,
    phone text,
    billing_address jsonb NOT NULL DEFAULT '{}',
    tax_ids text[] NOT NULL DEFAULT '{}',
    locale text NOT NULL,
    time_zone text NOT NULL,
    portal_access text NOT NULL DEFAULT 'none' CHECK (portal_access IN ('none', 'invited', 'active', 'disabled')),
    archived boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL
);
CREATE UNIQUE INDEX customer_by_email ON customer (merchant_id, lower(email)) WHERE NOT archived;

CREATE TABLE contact (
    id uuid PRIMARY KEY,
    sequence bigint NOT NULL DEFAULT 1,
    merchant_id uuid NOT NULL REFERENCES merchant,
    customer_id uuid NOT NULL REFERENCES customer,
    person_id uuid NOT NULL REFERENCES person,
    role text NOT NULL CHECK (role IN ('owner', 'billing', 'member')),
    active boolean NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL,
    UNIQUE (customer_id, person_id)
);
CREATE INDEX contact_by_person ON contact (person_id);

CREATE TABLE invitation (
    id uuid PRIMARY KEY,
    sequence bigint NOT NULL DEFAULT 1,
    merchant_id uuid NOT NULL REFERENCES merchant,
    customer_id uuid NOT NULL REFERENCES customer,
    email text NOT NULL,
    role text NOT NULL CHECK (role IN ('owner', 'billing', 'member')),
    origin text NOT NULL CHECK (origin IN ('merchant', 'pay_link')),
    status text NOT NULL DEFAULT 'pending'
        CHECK (status IN ('pending', 'accepted', 'revoked', 'expired', 'superseded')),
    invited_by text NOT NULL,
    -- The link's token itself is derived whenever a mail needs it.
    token_digest text NOT NULL UNIQUE,
    expires_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL,
    accepted_at timestamptz
);
-- One link at a time lets somebody in; also finds an address's latest.
CREATE UNIQUE INDEX invitation_pending ON invitation (customer_id, lower(email)) WHERE status = 'pending';
CREATE INDEX invitation_by_address ON invitation (customer_id, lower(email), id);
CREATE INDEX invitation_to_expire ON invitation (expires_at) WHERE status = 'pending';

-- What rate limits count. `bucket` is a digest: no address of a person or browser is kept here.
CREATE TABLE attempt (
    id uuid NOT NULL,
    bucket text NOT NULL,
    at timestamptz NOT NULL,
    PRIMARY KEY (id, bucket)
);
CREATE INDEX attempt_by_bucket ON attempt (bucket, at);
CREATE INDEX attempt_by_age ON attempt (at);
