-- A subscription's own link is made anew as an invoice's is: whoever holds an earlier one is told that there is a newer.
ALTER TABLE copy_subscription
    ADD COLUMN earlier_links jsonb GENERATED ALWAYS AS (nullif(state->'link'->'earlier_sha256', '[]'::jsonb)) STORED;
CREATE INDEX copy_subscription_by_earlier_link ON copy_subscription USING gin (earlier_links)
    WHERE earlier_links IS NOT NULL;
