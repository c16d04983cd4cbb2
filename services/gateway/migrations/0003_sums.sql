-- Totals that pages show, kept by the difference that each upsert makes, whatever the order and however often.
--
-- Deadlocks: one upsert fires two triggers, one for the rows it updated and one for those it inserted. Each locks its sums
-- in key order, but two transactions could still meet crosswise, one's update against the other's insert. So the two
-- write different rows (`part`), and readers add them up: every transaction locks all u before any i.

-- Open invoices by due date: due and overdue of a merchant.
CREATE TABLE due_by_day (
    merchant_id uuid NOT NULL, currency text NOT NULL, due_on date NOT NULL, part "char" NOT NULL,
    amount bigint NOT NULL, invoices bigint NOT NULL,
    PRIMARY KEY (merchant_id, due_on, currency, part)
);

CREATE TABLE due_by_customer (
    merchant_id uuid NOT NULL, customer_id uuid NOT NULL, currency text NOT NULL, part "char" NOT NULL,
    amount bigint NOT NULL, invoices bigint NOT NULL,
    PRIMARY KEY (customer_id, currency, part)
);

-- Money that came in, by quarters of an hour: every time zone's midnight is the edge of one (all offsets are multiples of
-- 15 minutes), so the days of any calendar are sums of these, also after a merchant changed their time zone.
CREATE TABLE income (
    merchant_id uuid NOT NULL, quarter timestamptz NOT NULL, currency text NOT NULL, part "char" NOT NULL,
    amount bigint NOT NULL, payments bigint NOT NULL,
    PRIMARY KEY (merchant_id, quarter, currency, part)
);

CREATE FUNCTION sum_inserted_invoices() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO due_by_day AS kept (merchant_id, currency, due_on, part, amount, invoices)
    SELECT merchant_id, currency, due_on, 'i', sum(amount_due), count(*) FROM new_rows
    WHERE status = 'open' AND NOT deleted GROUP BY merchant_id, due_on, currency ORDER BY merchant_id, due_on, currency
    ON CONFLICT (merchant_id, due_on, currency, part) DO UPDATE
    SET amount = kept.amount + excluded.amount, invoices = kept.invoices + excluded.invoices;

    INSERT INTO due_by_customer AS kept (merchant_id, customer_id, currency, part, amount, invoices)
    SELECT merchant_id, customer_id, currency, 'i', sum(amount_due), count(*) FROM new_rows
    WHERE status = 'open' AND NOT deleted GROUP BY merchant_id, customer_id, currency ORDER BY customer_id, currency
    ON CONFLICT (customer_id, currency, part) DO UPDATE
    SET amount = kept.amount + excluded.amount, invoices = kept.invoices + excluded.invoices;
    RETURN NULL;
END $$;

CREATE FUNCTION sum_updated_invoices() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO due_by_day AS kept (merchant_id, currency, due_on, part, amount, invoices)
    SELECT merchant_id, currency, due_on, 'u', sum(amount), sum(one) FROM (
        SELECT merchant_id, currency, due_on, amount_due AS amount, 1 AS one FROM new_rows
        WHERE status = 'open' AND NOT deleted
        UNION ALL
        SELECT merchant_id, currency, due_on, -amount_due, -1 FROM old_rows WHERE status = 'open' AND NOT deleted
    ) AS difference
    GROUP BY merchant_id, due_on, currency HAVING sum(amount) <> 0 OR sum(one) <> 0
    ORDER BY merchant_id, due_on, currency
    ON CONFLICT (merchant_id, due_on, currency, part) DO UPDATE
    SET amount = kept.amount + excluded.amount, invoices = kept.invoices + excluded.invoices;

    INSERT INTO due_by_customer AS kept (merchant_id, customer_id, currency, part, amount, invoices)
    SELECT merchant_id, customer_id, currency, 'u', sum(amount), sum(one) FROM (
        SELECT merchant_id, customer_id, currency, amount_due AS amount, 1 AS one FROM new_rows
        WHERE status = 'open' AND NOT deleted
        UNION ALL
        SELECT merchant_id, customer_id, currency, -amount_due, -1 FROM old_rows WHERE status = 'open' AND NOT deleted
    ) AS difference
    GROUP BY merchant_id, customer_id, currency HAVING sum(amount) <> 0 OR sum(one) <> 0
    ORDER BY customer_id, currency
    ON CONFLICT (customer_id, currency, part) DO UPDATE
    SET amount = kept.amount + excluded.amount, invoices = kept.invoices + excluded.invoices;
    RETURN NULL;
END $$;

CREATE TRIGGER sums_of_inserted AFTER INSERT ON copy_invoice
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION sum_inserted_invoices();
CREATE TRIGGER sums_of_updated AFTER UPDATE ON copy_invoice
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION sum_updated_invoices();

CREATE FUNCTION sum_inserted_payments() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO income AS kept (merchant_id, quarter, currency, part, amount, payments)
    SELECT merchant_id, date_bin('15 minutes', settled_at, '2000-01-01 00:00Z') AS quarter, currency, 'i', sum(amount),
           count(*)
    FROM new_rows WHERE status = 'succeeded' AND settled_at IS NOT NULL AND NOT deleted
    GROUP BY merchant_id, quarter, currency ORDER BY merchant_id, quarter, currency
    ON CONFLICT (merchant_id, quarter, currency, part) DO UPDATE
    SET amount = kept.amount + excluded.amount, payments = kept.payments + excluded.payments;
    RETURN NULL;
END $$;

CREATE FUNCTION sum_updated_payments() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO income AS kept (merchant_id, quarter, currency, part, amount, payments)
    SELECT merchant_id, quarter, currency, 'u', sum(amount), sum(one) FROM (
        SELECT merchant_id, date_bin('15 minutes', settled_at, '2000-01-01 00:00Z') AS quarter, currency, amount, 1 AS one
        FROM new_rows WHERE status = 'succeeded' AND settled_at IS NOT NULL AND NOT deleted
        UNION ALL
        SELECT merchant_id, date_bin('15 minutes', settled_at, '2000-01-01 00:00Z'), currency, -amount, -1
        FROM old_rows WHERE status = 'succeeded' AND settled_at IS NOT NULL AND NOT deleted
    ) AS difference
    GROUP BY merchant_id, quarter, currency HAVING sum(amount) <> 0 OR sum(one) <> 0
    ORDER BY merchant_id, quarter, currency
    ON CONFLICT (merchant_id, quarter, currency, part) DO UPDATE
    SET amount = kept.amount + excluded.amount, payments = kept.payments + excluded.payments;
    RETURN NULL;
END $$;

CREATE TRIGGER sums_of_inserted AFTER INSERT ON copy_payment
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION sum_inserted_payments();
CREATE TRIGGER sums_of_updated AFTER UPDATE ON copy_payment
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION sum_updated_payments();
