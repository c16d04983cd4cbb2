-- To-dos, and what other services say of the customers and invoices that they are about.

CREATE TABLE todo (
    id uuid PRIMARY KEY,
    sequence bigint NOT NULL DEFAULT 1,
    merchant_id uuid NOT NULL,
    customer_id uuid NOT NULL,
    origin text NOT NULL CHECK (origin IN ('own', 'assigned', 'billing')),
    title text CHECK (title IS NOT NULL OR deleted),
    notes text,
    due_on date,
    priority text NOT NULL DEFAULT 'normal' CHECK (priority IN ('low', 'normal', 'high')),
    list text,
    status text NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'done', 'cancelled')),
    shared boolean NOT NULL DEFAULT false,
    created_by text NOT NULL,
    done_by text,
    invoice_id uuid,
    invoice_number text,
    amount bigint,
    currency text,
    created_at timestamptz NOT NULL,
    done_at timestamptz CHECK ((done_at IS NULL) = (status <> 'done')),
    deleted boolean NOT NULL DEFAULT false,
    CHECK ((origin = 'billing') = (invoice_id IS NOT NULL)),
    CHECK ((origin = 'billing') = (amount IS NOT NULL AND currency IS NOT NULL AND invoice_number IS NOT NULL))
);
-- An invoice asks once, however often and in whatever order its events come.
CREATE UNIQUE INDEX todo_of_invoice ON todo (invoice_id);

CREATE TABLE copy_customer (
    id uuid PRIMARY KEY,
    merchant_id uuid,
    sequence bigint NOT NULL,
    deleted boolean NOT NULL DEFAULT false,
    state jsonb NOT NULL,
    archived boolean GENERATED ALWAYS AS (coalesce((state ->> 'archived')::boolean, false)) STORED
);

CREATE TABLE copy_merchant (
    id uuid PRIMARY KEY,
    merchant_id uuid,
    sequence bigint NOT NULL,
    deleted boolean NOT NULL DEFAULT false,
    state jsonb NOT NULL
);

CREATE TABLE copy_invoice (
    id uuid PRIMARY KEY,
    merchant_id uuid,
    sequence bigint NOT NULL,
    deleted boolean NOT NULL DEFAULT false,
    state jsonb NOT NULL
);
