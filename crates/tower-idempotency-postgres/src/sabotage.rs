//! Leaving guards out, to show that tests notice.

/// A guard that a store can be told to leave out.
///
/// For the project's own tests: a check that cannot fail proves nothing.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
#[cfg_attr(
    not(feature = "__sabotage"),
    expect(unreachable_pub, reason = "only that feature shows it")
)]
pub enum Guard {
    /// `complete` compares the token.
    CompleteFence,
    /// `renew` compares the token.
    RenewFence,
    /// A claim recognises its own record.
    TokenRecognition,
    /// A handler's transaction compares the token, and a transactional claim minds the lock.
    InTransactionCheck,
}

/// Returns the statement without the fence that `guard` stands for, if that is what is left out.
pub(crate) fn without(left_out: Option<Guard>, guard: Guard, sql: &str) -> String {
    if left_out != Some(guard) {
        return sql.to_owned();
    }
    let fences = [
        // Renewing and completing.
        ("AND token = $2", "AND $2::uuid IS NOT NULL"),
        // Keeping a response in a transaction.
        (
            "WHERE record.expires_at <= excluded.created_at",
            "WHERE true",
        ),
    ];
    let mut sql = fences.iter().fold(sql.to_owned(), |sql, (fence, nothing)| {
        sql.replace(fence, nothing)
    });
    if guard == Guard::InTransactionCheck {
        let standing = "AND lease_expires_at IS NOT NULL AND expires_at > /* now */";
        sql = sql.replace(standing, "");
    }
    sql
}

/// The same for the statements that carry several ends, where a fence is one kind's.
pub(crate) fn without_in_batch(left_out: Option<Guard>, sql: String) -> String {
    let kind = match left_out {
        Some(Guard::CompleteFence) => 1,
        Some(Guard::RenewFence) => 3,
        Some(Guard::TokenRecognition | Guard::InTransactionCheck) | None => return sql,
    };
    let fence = "AND token = ends.new_token";
    sql.replace(
        fence,
        &format!("AND (token = ends.new_token OR kind = {kind})"),
    )
}

/// The same for the statement whose ends are all completions.
pub(crate) fn without_in_completions(left_out: Option<Guard>, sql: String) -> String {
    if left_out != Some(Guard::CompleteFence) {
        return sql;
    }
    sql.replace(
        "AND token = ends.new_token",
        "AND ends.new_token IS NOT NULL",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guard_is_left_out_only_where_it_is_named() {
        let sql = "UPDATE t SET a = 1 WHERE id = $1 AND token = $2";
        assert_eq!(without(None, Guard::RenewFence, sql), sql);
        let other = Some(Guard::CompleteFence);
        assert_eq!(without(other, Guard::RenewFence, sql), sql);
        let left_out = without(other, Guard::CompleteFence, sql);
        assert!(!left_out.contains("token = $2"));
    }
}
