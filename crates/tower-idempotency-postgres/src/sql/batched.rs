//! The statements that carry what is in flight together: one text for claims, one for ends,
//! one for both, so that a connection prepares three at most.
//!
//! Their parameters are arrays, in the order of the identities, so that no two of them can wait
//! for each other. Each operation is an index look-up in a `LATERAL` part, and the lanes'
//! connections forbid the planner any other way.
//!
//! One row comes back for all that went well, and one for each record that a claim has found.

use std::fmt::Write;

/// The claims. Arrays: `$1` ids, `$2` tokens, `$3` fingerprints, `$4` namespaces, `$5` principals,
/// `$6` routes, `$7` keys, `$8` leases, `$9` failed retentions, `$10` retentions.
///
/// As `CLAIM`: reads each record; only if there is none, makes one. Never waits for a row that is
/// held.
const CLAIMS: &str = "
asked AS MATERIALIZED (
    SELECT *
    FROM unnest($1::bytea[], $2::uuid[], $3::bytea[], $4::text[], $5::text[], $6::text[],
                $7::text[], $8::bigint[], $9::bigint[], $10::bigint[])
         WITH ORDINALITY
         AS asked (id, new_token, new_fingerprint, namespace, principal, route, key,
                   lease, abandoned, retention, n)
),
found AS MATERIALIZED (
    SELECT n, record.*
    FROM asked, LATERAL (
        SELECT state, token, fingerprint, attempt, takeover, lease_expires_at, expires_at,
               response_status, response_head, response_body
        FROM /* schema. */idempotency_keys AS record
        WHERE record.id = asked.id
        OFFSET 0
    ) AS record
),
inserted AS (
    INSERT INTO /* schema. */idempotency_keys
        (id, token, fingerprint, namespace, principal, route, key, state, attempt, takeover,
         created_at, lease_expires_at, expires_at, sweep_at)
    SELECT id, new_token, new_fingerprint, namespace, principal, route, key, 'in_progress', 1,
           false, /* now */,
           /* now */ + lease * interval '1 millisecond',
           coalesce(/* now */ + (lease + abandoned) * interval '1 millisecond', 'infinity'),
           coalesce(/* now */ + retention * interval '1 millisecond',
                    /* now */ + (lease + abandoned) * interval '1 millisecond', 'infinity')
    FROM asked
    WHERE n NOT IN (SELECT n FROM found)
    ON CONFLICT (id) DO NOTHING
    RETURNING token
),
made AS MATERIALIZED (
    SELECT count(*) AS number, array_agg(token) AS tokens, cardinality($1) AS asked
    FROM inserted
),";

/// The ends of executions, renewals among them. Arrays, numbered from behind the claims':
/// `$1` ids, `$2` tokens, `$3` what is asked: 1 to complete, 2 to fail, 3 to renew, 4 to free,
/// `$4` how long the record is kept, `$5` leases, `$6` statuses, `$7` heads, `$8` bodies,
/// `$9` categories, `$10` errors. Those that nobody needs may be shorter.
///
/// The rows are changed where they were locked, by their place: joined by identity, a planner that
/// takes the table for empty reads all of it in the order of the index, once for every end.
/// A row that moved on since the statement began is not found there, as if somebody held it.
///
/// Rows that somebody else holds are left alone, and so are those with another token: which it was
/// is found out by the statement for one, which is run for those that are not in the result.
const ENDS: &str = "
held AS MATERIALIZED (
    SELECT place, kind, kept, lease, status, head, body, category, error, n
    FROM unnest($1::bytea[], $2::uuid[], $3::smallint[], $4::bigint[], $5::bigint[],
                $6::smallint[], $7::bytea[], $8::bytea[], $9::text[], $10::text[])
         WITH ORDINALITY
         AS ends (id, new_token, kind, kept, lease, status, head, body, category, error, n),
    LATERAL (
        SELECT ctid AS place
        FROM /* schema. */idempotency_keys AS record
        WHERE record.id = ends.id AND token = ends.new_token
          AND state = 'in_progress' AND expires_at > /* now */
        FOR UPDATE SKIP LOCKED
    ) AS mine
),
updated AS (
    UPDATE /* schema. */idempotency_keys AS record
    SET state = CASE kind WHEN 1 THEN 'completed' WHEN 2 THEN 'failed' ELSE state END,
        lease_expires_at = CASE kind WHEN 3 THEN /* now */ + lease * interval '1 millisecond' END,
        ended_at = CASE WHEN kind <> 3 THEN /* now */ END,
        expires_at = coalesce(/* now */ + kept * interval '1 millisecond', 'infinity'),
        sweep_at = CASE WHEN kind = 3 THEN sweep_at
                   ELSE least(sweep_at,
                              coalesce(/* now */ + kept * interval '1 millisecond', 'infinity')) END,
        steps = CASE WHEN kind <> 1 THEN steps END,
        response_status = status, response_head = head, response_body = body,
        failure_category = category, failure_error = error
    FROM held
    WHERE record.ctid = held.place AND kind <> 4
    RETURNING n
),
freed AS (
    DELETE FROM /* schema. */idempotency_keys AS record
    USING held
    WHERE record.ctid = held.place AND kind = 4
    RETURNING n
),
ended AS MATERIALIZED (
    SELECT count(*) AS number, array_agg(n) AS ns, cardinality($1) AS asked
    FROM (SELECT n FROM updated UNION ALL SELECT n FROM freed) AS changed
)";

const CLAIMS_PARAMETERS: usize = 10;

/// Returns the text for claims only. Its last parameter says whether the commit may be lost by a
/// crash of the server.
pub(super) fn claims() -> String {
    let relaxed = "CASE WHEN $11::boolean THEN set_config('synchronous_commit', 'off', true) END";
    let claims = CLAIMS.trim_end_matches(',');
    format!(
        "\nWITH {claims}{}",
        select("0, NULL::bigint[]", "made", relaxed)
    )
}

/// Returns the text for ends only.
pub(super) fn ends() -> String {
    format!(
        "\nWITH {ENDS}
SELECT 0::bigint, 0::bigint, NULL::uuid[], number, {ENDED}
FROM ended"
    )
}

/// Returns the text for both.
pub(super) fn both() -> String {
    let ends = renumbered(ENDS, CLAIMS_PARAMETERS);
    let summary = format!("ended.number, {ENDED}");
    format!(
        "\nWITH {CLAIMS}{ends}{}",
        select(&summary, "made, ended", "NULL")
    )
}

/// Which operations went well is said only if not all did.
const MADE: &str =
    "CASE WHEN made.number < made.asked - (SELECT count(*) FROM found) THEN tokens END";
const ENDED: &str = "CASE WHEN ended.number < ended.asked THEN ns END";

fn select(ended: &str, from: &str, aside: &str) -> String {
    format!(
        "
SELECT 0::bigint, made.number, {MADE},
       {ended},
       {aside}::text, NULL::uuid, NULL::bytea, NULL::integer, NULL::boolean,
       NULL::boolean, NULL::bigint, NULL::smallint, NULL::bytea, NULL::bytea, NULL::bigint
FROM {from}
UNION ALL
SELECT n, 0, NULL, 0, NULL,
       state, token, fingerprint, attempt, takeover, expires_at <= /* now */,
       coalesce(ceil(extract(epoch FROM lease_expires_at - /* now */) * 1000), 0)::bigint,
       response_status, response_head, response_body,
       floor(extract(epoch FROM nullif(expires_at, 'infinity') - /* now */) * 1000000)::bigint
FROM found"
    )
}

/// Moves the numbers of all parameters up.
fn renumbered(sql: &str, by: usize) -> String {
    let mut parts = sql.split('$');
    let mut moved = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let digits = part.bytes().take_while(u8::is_ascii_digit).count();
        let (number, rest) = part.split_at(digits);
        let number: usize = number.parse().unwrap_or_default();
        // Writing to a string cannot fail.
        let _ = write!(moved, "${}{rest}", number + by);
    }
    moved
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_parameters_come_behind_the_claims() {
        let both = both();
        for number in 1..=20 {
            let times = both.matches(&format!("${number}::")).count();
            assert_eq!(times, 1, "${number}");
        }
        assert!(!both.contains("$21"));
    }

    #[test]
    fn only_claims_alone_can_leave_a_commit_to_the_background() {
        assert!(claims().contains("synchronous_commit"));
        assert!(!ends().contains("synchronous_commit"));
        assert!(!both().contains("synchronous_commit"));
    }
}
