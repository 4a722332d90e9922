//! Which replies are to be swallowed.

use fastrand::Rng;

use crate::{AfterSwallow, postgres::is_commit};

/// A statement whose reply is wanted.
#[derive(Debug)]
pub(crate) enum Wanted {
    Commit,
    Any,
    Containing(String),
}

impl Wanted {
    fn is(&self, statement: &str) -> bool {
        match self {
            Self::Commit => is_commit(statement),
            Self::Any => true,
            Self::Containing(part) => statement.contains(part.as_str()),
        }
    }
}

/// The traps that are set, for all connections of a proxy.
#[derive(Debug)]
pub(crate) struct Traps {
    /// Each catches one statement.
    pub(crate) once: Vec<Wanted>,
    /// How many of a thousand COMMITs are caught.
    pub(crate) commits_per_mille: u16,
    pub(crate) after: AfterSwallow,
    random: Rng,
}

impl Traps {
    pub(crate) fn seeded(seed: u64) -> Self {
        Self {
            once: Vec::new(),
            commits_per_mille: 0,
            after: AfterSwallow::default(),
            random: Rng::with_seed(seed),
        }
    }

    /// Tells whether the reply to this statement is to be swallowed, and uses up the trap.
    pub(crate) fn catches(&mut self, statement: &str) -> bool {
        if let Some(trap) = self.once.iter().position(|wanted| wanted.is(statement)) {
            self.once.remove(trap);
            return true;
        }
        // Drawn for COMMITs only, so that a seed gives the same draws whatever else is said.
        is_commit(statement) && self.random.u16(0..1_000) < self.commits_per_mille
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trap_catches_once() {
        let mut traps = Traps::seeded(1);
        traps.once.push(Wanted::Commit);
        traps.once.push(Wanted::Containing("accounts".to_owned()));
        assert!(!traps.catches("SELECT 1"));
        assert!(traps.catches("commit"));
        assert!(!traps.catches("commit"));
        assert!(traps.catches("UPDATE accounts SET n = 1"));
        assert!(!traps.catches("UPDATE accounts SET n = 1"));
        traps.once.push(Wanted::Any);
        assert!(traps.catches("SELECT 1"));
    }

    #[test]
    fn a_share_of_the_commits_is_caught() {
        let mut traps = Traps::seeded(1);
        let mut caught = |per_mille| {
            traps.commits_per_mille = per_mille;
            (0..10_000).filter(|_| traps.catches("COMMIT")).count()
        };
        assert_eq!((caught(0), caught(1_000)), (0, 10_000));
        assert!((1_500..2_500).contains(&caught(200)));
        assert!(!traps.catches("ROLLBACK"));
    }
}
