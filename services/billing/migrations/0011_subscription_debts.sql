-- Since then what could not be charged for this one subscription is to be collected from the method that was chosen for it.
ALTER TABLE subscription ADD COLUMN collect_since timestamptz;
CREATE INDEX subscription_to_collect ON subscription (collect_since) WHERE collect_since IS NOT NULL;
