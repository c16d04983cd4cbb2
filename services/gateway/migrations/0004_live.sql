-- Every upsert tells each replica, at its commit, what changed: `noun id merchant customer audience`, ids and nothing else.
CREATE FUNCTION tell_inserted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('changes', concat_ws(' ', TG_ARGV[0], id, coalesce(merchant_id::text, '-'),
                                           coalesce(customer_id::text, '-'), audience))
    FROM new_rows;
    RETURN NULL;
END $$;

-- Who may see it before or after is told, so that what is no longer shared disappears from open pages too.
CREATE FUNCTION tell_updated() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('changes', concat_ws(' ', TG_ARGV[0], n.id, coalesce(n.merchant_id::text, '-'),
                                           coalesce(n.customer_id::text, '-'),
                                           CASE WHEN n.audience = o.audience THEN n.audience ELSE 'both' END))
    FROM new_rows AS n JOIN old_rows AS o ON o.id = n.id
    WHERE n.state IS DISTINCT FROM o.state OR n.deleted <> o.deleted;
    RETURN NULL;
END $$;

CREATE TRIGGER tell_inserted AFTER INSERT ON copy_merchant
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION tell_inserted('merchant');
CREATE TRIGGER tell_updated AFTER UPDATE ON copy_merchant
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION tell_updated('merchant');

CREATE TRIGGER tell_inserted AFTER INSERT ON copy_logo
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION tell_inserted('logo');
CREATE TRIGGER tell_updated AFTER UPDATE ON copy_logo
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION tell_updated('logo');

CREATE TRIGGER tell_inserted AFTER INSERT ON copy_person
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION tell_inserted('person');
CREATE TRIGGER tell_updated AFTER UPDATE ON copy_person
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION tell_updated('person');

CREATE TRIGGER tell_inserted AFTER INSERT ON copy_member
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION tell_inserted('member');
CREATE TRIGGER tell_updated AFTER UPDATE ON copy_member
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION tell_updated('member');

CREATE TRIGGER tell_inserted AFTER INSERT ON copy_customer
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION tell_inserted('customer');
CREATE TRIGGER tell_updated AFTER UPDATE ON copy_customer
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION tell_updated('customer');

CREATE TRIGGER tell_inserted AFTER INSERT ON copy_contact
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION tell_inserted('contact');
CREATE TRIGGER tell_updated AFTER UPDATE ON copy_contact
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION tell_updated('contact');

CREATE TRIGGER tell_inserted AFTER INSERT ON copy_invitation
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION tell_inserted('invitation');
CREATE TRIGGER tell_updated AFTER UPDATE ON copy_invitation
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION tell_updated('invitation');

CREATE TRIGGER tell_inserted AFTER INSERT ON copy_invoice
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION tell_inserted('invoice');
CREATE TRIGGER tell_updated AFTER UPDATE ON copy_invoice
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION tell_updated('invoice');

CREATE TRIGGER tell_inserted AFTER INSERT ON copy_payment
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION tell_inserted('payment');
CREATE TRIGGER tell_updated AFTER UPDATE ON copy_payment
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION tell_updated('payment');

CREATE TRIGGER tell_inserted AFTER INSERT ON copy_todo
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION tell_inserted('todo');
CREATE TRIGGER tell_updated AFTER UPDATE ON copy_todo
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION tell_updated('todo');

CREATE TRIGGER tell_inserted AFTER INSERT ON copy_mail
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION tell_inserted('mail');
CREATE TRIGGER tell_updated AFTER UPDATE ON copy_mail
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION tell_updated('mail');
