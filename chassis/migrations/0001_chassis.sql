-- What the chassis keeps in every service's database.

-- Events that this service has announced and the broker has not confirmed yet, in the order of their transactions.
CREATE TABLE outbox (
    position bigserial PRIMARY KEY,
    exchange text NOT NULL,
    routing_key text NOT NULL,
    subject text NOT NULL,
    message_id text NOT NULL,
    body bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Event ids that a fact handler has dealt with.
CREATE TABLE inbox (
    handler text NOT NULL,
    event_id text NOT NULL,
    handled_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (handler, event_id)
);
CREATE INDEX inbox_by_age ON inbox (handled_at);

-- The first reply of each command, so that a repeat gets the same one. A null reply is a command under way.
CREATE TABLE command_reply (
    merchant_id uuid NOT NULL,
    actor text NOT NULL,
    command text NOT NULL,
    id text NOT NULL,
    body_digest bytea NOT NULL,
    content_type text,
    reply bytea,
    attempts integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (merchant_id, actor, command, id)
);
CREATE INDEX command_reply_by_age ON command_reply (created_at);

-- Time-driven work, claimed by whichever replica comes first.
CREATE TABLE schedule (
    name text PRIMARY KEY,
    last_started_at timestamptz NOT NULL
);

-- A text cast to a time depends on settings for some spellings, so PostgreSQL will not use it in a generated column.
-- The spellings in our states (ISO 8601 with an offset, and plain dates) do not depend on any.
CREATE FUNCTION iso_timestamp(text) RETURNS timestamptz LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    AS $$ SELECT $1::timestamptz $$;
CREATE FUNCTION iso_date(text) RETURNS date LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    AS $$ SELECT $1::date $$;
