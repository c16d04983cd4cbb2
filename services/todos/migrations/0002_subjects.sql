-- To-dos follow from more than invoices: a payment method that no longer works, a customer's request to the merchant.

ALTER TABLE todo RENAME COLUMN invoice_id TO subject_id;
ALTER TABLE todo RENAME COLUMN invoice_number TO subject_label;
ALTER TABLE todo ADD COLUMN subject_kind text CHECK (subject_kind IN ('invoice', 'payment_method', 'request'));
UPDATE todo SET subject_kind = 'invoice' WHERE subject_id IS NOT NULL;
ALTER TABLE todo DROP CONSTRAINT todo_origin_check, DROP CONSTRAINT todo_check, DROP CONSTRAINT todo_check1,
    DROP CONSTRAINT todo_check2, DROP CONSTRAINT todo_check3;
ALTER TABLE todo
    ADD CHECK (origin IN ('own', 'assigned', 'billing', 'merchant')),
    ADD CHECK (title IS NOT NULL OR deleted),
    ADD CHECK ((done_at IS NULL) = (status <> 'done')),
    ADD CHECK ((subject_id IS NULL) = (subject_kind IS NULL) AND (subject_id IS NULL) = (subject_label IS NULL)),
    ADD CHECK ((origin = 'billing') <= (subject_kind IS NOT NULL AND subject_kind <> 'request')),
    ADD CHECK ((subject_kind = 'invoice') = (amount IS NOT NULL AND currency IS NOT NULL) OR subject_kind IS NULL),
    ADD CHECK (origin IN ('billing', 'merchant') OR subject_id IS NULL);
DROP INDEX todo_of_invoice;
-- A fact asks once, however often and in whatever order its events come; a customer may ask for several things.
CREATE UNIQUE INDEX todo_of_subject ON todo (subject_id, subject_kind) WHERE origin = 'billing';

CREATE TABLE copy_payment_method (
    id uuid PRIMARY KEY,
    merchant_id uuid,
    sequence bigint NOT NULL,
    deleted boolean NOT NULL DEFAULT false,
    state jsonb NOT NULL
);
