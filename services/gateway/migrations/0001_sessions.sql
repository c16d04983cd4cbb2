-- Sessions are the gateway's own: nothing announces or projects them. Only the token's SHA-256 is kept.
CREATE TABLE session (
    id uuid PRIMARY KEY,
    token_sha256 text NOT NULL UNIQUE,
    person_id uuid NOT NULL,
    -- As identity said at sign-in; the copy of the person, once it is here, is newer.
    name text NOT NULL,
    email text NOT NULL,
    locale text NOT NULL,
    time_zone text NOT NULL,
    -- Where the person works now. Whether they still may is read from the copies at each request.
    account_kind text CHECK (account_kind IN ('merchant', 'customer')),
    account_id uuid,
    merchant_id uuid,
    created_at timestamptz NOT NULL,
    last_seen_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    user_agent text NOT NULL
);
CREATE INDEX session_by_person ON session (person_id, id);
CREATE INDEX session_by_account ON session (account_id, person_id);
CREATE INDEX session_by_end ON session (expires_at);

-- Where each person worked last: their next sign-in begins there.
CREATE TABLE last_account (
    person_id uuid PRIMARY KEY,
    account_id uuid NOT NULL
);

-- Whatever ends a session, every replica hears of it at the commit and closes its event streams.
CREATE FUNCTION tell_ended_sessions() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('session_ended', id::text) FROM old_rows;
    RETURN NULL;
END $$;
CREATE TRIGGER session_ended AFTER DELETE ON session
    REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION tell_ended_sessions();
