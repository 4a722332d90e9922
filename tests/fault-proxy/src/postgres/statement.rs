/// Tells whether a text is COMMIT, or ends with it after other statements.
pub(crate) fn is_commit(text: &str) -> bool {
    let text = text.trim_end_matches(|end: char| end == ';' || end.is_whitespace());
    let last = text.rsplit(';').next().unwrap_or_default();
    let words: Vec<_> = last.split_whitespace().take(3).collect();
    match words[..] {
        [commit] => commit.eq_ignore_ascii_case("commit"),
        [commit, noise] => {
            let is_noise = ["work", "transaction"]
                .iter()
                .any(|word| word.eq_ignore_ascii_case(noise));
            commit.eq_ignore_ascii_case("commit") && is_noise
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_is_recognised_in_every_dress() {
        for text in [
            "COMMIT",
            "commit;",
            " Commit ; ",
            "COMMIT WORK",
            "commit transaction;",
            "BEGIN; INSERT INTO t VALUES (1); COMMIT",
            "INSERT INTO t VALUES (1);\nCOMMIT;\n",
        ] {
            assert!(is_commit(text), "{text}");
        }
        for text in [
            "",
            ";",
            "ROLLBACK",
            "COMMIT; SELECT 1",
            "COMMIT PREPARED 'x'",
            "SELECT 'COMMIT'",
            "SELECT commit",
            "COMMIT AND CHAIN",
        ] {
            assert!(!is_commit(text), "{text}");
        }
    }
}
