//! The statements that carry what is in flight together: one text for claims, one for ends, and one
//! for both; and two more for what ends nearly always are, completions, with claims and without. So
//! a connection prepares five at most.
//!
//! Their parameters are arrays, in the order of the identities, so that no two of them can wait
//! for each other. They are unfolded in the list of a `SELECT`: in `FROM`, each of them would be
//! stored as a table of its own first. Claims look for their records in one index scan, completions
//! go to the place of their row, each other end is an index look-up in a `LATERAL` part, and the
//! lanes' connections forbid the planner any other way.
//!
//! A statement costs as much to set up as a dozen operations cost to run, and each node of its
//! plan has a share in that: hence no part that could be spared.
//!
//! One row comes back, or one for each record that a claim has found. All begin with the summary.

use super::renumbered;

/// The claims. Arrays: `$1` ids, `$2` tokens, `$3` fingerprints, `$4` namespaces, `$5` principals,
/// `$6` routes, `$7` keys, and from now on: `$8` leases, `$9` how long the record is there if nobody
/// ends it, `$10` when the sweeper comes.
///
/// Reads each record, and makes those that are not there. Never waits for a row that is held.
///
/// The server refuses the whole statement if somebody else makes one of the records between the
/// two: it is run again then, and finds it. `ON CONFLICT` would look each of them up once more.
const CLAIMS: &str = "
found AS MATERIALIZED (
    SELECT id, /* read by claims */
    FROM /* schema. */idempotency_keys
    WHERE id = ANY ($1::bytea[])
),
inserted AS (
    INSERT INTO /* schema. */idempotency_keys
        (id, token, fingerprint, namespace, principal, route, key, attempt, takeover,
         created_at, lease_expires_at, expires_at, sweep_at)
    SELECT id, ($2::uuid[])[n], new_fingerprint, namespace, principal, route, key, 1, false,
           /* now */, /* now */ + ($8::interval[])[n],
           coalesce(/* now */ + ($9::interval[])[n], 'infinity'),
           coalesce(/* now */ + ($10::interval[])[n], 'infinity')
    FROM (
        SELECT unnest($1::bytea[]) AS id, unnest($3::bytea[]) AS new_fingerprint,
               unnest($4::text[]) AS namespace, unnest($5::text[]) AS principal,
               unnest($6::text[]) AS route, unnest($7::text[]) AS key,
               generate_series(1, cardinality($1)) AS n
    ) AS asked
    WHERE id NOT IN (SELECT id FROM found)
    RETURNING ctid AS place
)";

/// Locks the record of each of `ends` that is its own, and finds its place.
///
/// Rows that somebody else holds are left alone, and so are those with another token: which it was
/// is found out by the statement for one, which is run for those that are not in the result.
const MINE: &str = "LATERAL (
        SELECT ctid AS place
        FROM /* schema. */idempotency_keys AS record
        WHERE record.id = ends.id AND token = ends.new_token
          AND lease_expires_at IS NOT NULL AND expires_at > /* now */
        FOR UPDATE SKIP LOCKED
    ) AS mine";
/// Stands for [`MINE`] in the statements.
const MINE_MARK: &str = "/* mine */";

/// The ends of executions, renewals among them. Arrays, numbered from behind the claims':
/// `$1` ids, `$2` tokens, `$3` what is asked: 1 to complete, 2 to fail, 3 to renew, 4 to free,
/// `$4` how long the record is kept, `$5` leases, `$6` statuses, `$7` heads, `$8` bodies,
/// `$9` categories, `$10` errors. Those that nobody needs may be shorter.
///
/// The rows are changed where they were locked, by their place: joined by identity, a planner that
/// takes the table for empty reads all of it in the order of the index, once for every end.
/// A row that moved on since the statement began is not found there, as if somebody held it.
const ENDS: &str = "
held AS MATERIALIZED (
    SELECT place, kind, kept, lease, status, head, body, category, error, n
    FROM (
        SELECT unnest($1::bytea[]) AS id, unnest($2::uuid[]) AS new_token,
               unnest($3::smallint[]) AS kind, unnest($4::interval[]) AS kept,
               unnest($5::interval[]) AS lease, unnest($6::smallint[]) AS status,
               unnest($7::bytea[]) AS head, unnest($8::bytea[]) AS body,
               unnest($9::text[]) AS category, unnest($10::text[]) AS error,
               generate_series(1, cardinality($1)) AS n
    ) AS ends,
    /* mine */
),
updated AS (
    UPDATE /* schema. */idempotency_keys AS record
    SET lease_expires_at = CASE kind WHEN 3 THEN /* now */ + lease END,
        ended_at = CASE WHEN kind <> 3 THEN /* now */ END,
        expires_at = coalesce(/* now */ + kept, 'infinity'),
        sweep_at = CASE WHEN kind = 3 THEN sweep_at
                   ELSE least(sweep_at,
                              coalesce(/* now */ + kept, 'infinity')) END,
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
)";

/// Completions only, of rows whose places are known. Arrays, numbered from behind the claims': `$1`
/// places (as one text), `$2` tokens, `$3` how long the record is kept, `$4` statuses, `$5` heads,
/// `$6` bodies.
///
/// A row that is elsewhere by now, or that anybody has touched since it was written (it has an
/// `xmax` then), is left alone, as `held` leaves alone what is locked. Who takes it between that
/// look and the change, which is microseconds, is waited for, as long as `lock_timeout` says; then
/// all conditions are judged again.
///
/// The identity is not compared: no other record has the token, and with it the planner would have
/// another way, over the whole index.
///
/// Heads and bodies are taken where they are written: what is read beside the rows that are
/// updated, the server copies.
const COMPLETIONS: &str = "
updated AS (
    UPDATE /* schema. */idempotency_keys AS record
    SET lease_expires_at = NULL, ended_at = /* now */, expires_at = until,
        sweep_at = least(sweep_at, until),
        steps = NULL, response_status = ($4::smallint[])[n],
        response_head = ($5::bytea[])[n], response_body = ($6::bytea[])[n]
    FROM (
        SELECT place, ($2::uuid[])[n] AS new_token, n,
               coalesce(/* now */ + ($3::interval[])[n], 'infinity') AS until
        FROM (
            SELECT unnest($1::text::tid[]) AS place,
                   generate_series(1, cardinality($2::uuid[])) AS n
        ) AS asked
    ) AS ends
    WHERE record.ctid = ends.place AND token = ends.new_token
      AND lease_expires_at IS NOT NULL AND expires_at > /* now */ AND record.xmax = 0
    RETURNING n
)";

const CLAIMS_PARAMETERS: usize = 10;

/// Returns the text for claims only. Its last parameter says whether the commit may be lost by a
/// crash of the server.
pub(super) fn claims() -> String {
    format!(
        "\nWITH {CLAIMS}
SELECT id, made, '{{}}'::integer[], {FOUND}, relaxed
FROM (SELECT {MADE} AS made,
             CASE WHEN $11::boolean THEN set_config('synchronous_commit', 'off', true) END
                 AS relaxed) AS done
LEFT JOIN found ON true"
    )
}

/// Returns the text for ends only.
pub(super) fn ends() -> String {
    alone(ENDS, ENDED)
}

/// Returns the text for completions only.
pub(super) fn completions() -> String {
    alone(COMPLETIONS, COMPLETED)
}

/// Returns the text for both.
pub(super) fn both() -> String {
    claims_and(ENDS, ENDED)
}

/// Returns the text for claims and completions.
pub(super) fn claims_and_completions() -> String {
    claims_and(COMPLETIONS, COMPLETED)
}

/// The places of the records that claims made, in their order: one for each that has not found its
/// own, unless the table has triggers of its own that prevent it.
const MADE: &str = "(SELECT string_agg(tidsend(place), '') FROM inserted)";
/// The places of the ends that changed their record.
const ENDED: &str = "ARRAY(SELECT n FROM updated UNION ALL SELECT n FROM freed)";
/// The same where all are completions.
const COMPLETED: &str = "ARRAY(SELECT n FROM updated)";

const FOUND: &str = "token, fingerprint, attempt, takeover, lease, life,
       response_status, response_head, response_body";

fn alone(ends: &str, ended: &str) -> String {
    let ends = ends.replace(MINE_MARK, MINE);
    format!("\nWITH {ends}\nSELECT NULL::bytea, NULL::bytea, {ended}")
}

fn claims_and(ends: &str, ended: &str) -> String {
    let ends = renumbered(&ends.replace(MINE_MARK, MINE), CLAIMS_PARAMETERS);
    format!(
        "\nWITH {CLAIMS},{ends}
SELECT id, made, ended, {FOUND}
FROM (SELECT {MADE} AS made, {ended} AS ended) AS done
LEFT JOIN found ON true"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_parameters_come_behind_the_claims() {
        for (text, parameters) in [(both(), 20), (claims_and_completions(), 16)] {
            for number in 1..=parameters {
                assert!(text.contains(&format!("${number}::")), "${number}");
            }
            assert!(!text.contains(&format!("${}", parameters + 1)));
        }
    }

    #[test]
    fn only_claims_alone_can_leave_a_commit_to_the_background() {
        assert!(claims().contains("synchronous_commit"));
        assert!(!ends().contains("synchronous_commit"));
        assert!(!completions().contains("synchronous_commit"));
        assert!(!both().contains("synchronous_commit"));
        assert!(!claims_and_completions().contains("synchronous_commit"));
    }
}
