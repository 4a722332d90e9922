//! The command line.

use std::time::Duration;

use chaos::{Mode, Sabotage, StoreKind};
use clap::Parser;

/// Kills, pauses and cuts off servers under load, and checks that every guarantee holds.
///
/// The last line is `chaos MODE STORE: requests N kills N pauses N takeovers N replays N effects N
/// violations N`. The exit code is 1 if there was a violation, and 2 if the run could not begin.
#[derive(Clone, Debug, Parser)]
pub(crate) struct Arguments {
    /// How long to break things, in seconds. What comes after it takes some more.
    #[arg(long, default_value_t = 60)]
    pub(crate) seconds: u64,
    /// Where all choices come from; a fresh one is made and printed if there is none.
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// The level of guarantee that the handlers ask for.
    #[arg(long, default_value_t = Mode::Leased)]
    pub(crate) mode: Mode,
    /// Where the records are.
    #[arg(long, default_value_t = StoreKind::Postgres)]
    pub(crate) store: StoreKind,
    /// How many keys are at work at a time.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) keys: u32,
    /// How many clients work on them.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) clients: u32,
    /// How many server processes there are.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=20))]
    pub(crate) servers: u32,
    /// The length of a lease, in milliseconds.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(300..=60_000))]
    pub(crate) lease_ms: u64,
    /// Lets claims be committed without waiting for the disk: fenced mode, Postgres.
    #[arg(long, conflicts_with = "sabotage")]
    pub(crate) relaxed_claims: bool,
    /// Switches a guard of the store off: then there must be violations.
    #[arg(long)]
    pub(crate) sabotage: Option<Sabotage>,
    /// Keeps the journals and logs of the run.
    #[arg(long)]
    pub(crate) keep: bool,
}

impl Arguments {
    pub(crate) const fn lease(&self) -> Duration {
        Duration::from_millis(self.lease_ms)
    }

    /// The store's bound for a verb: less than a third of the lease, as its documentation asks for.
    pub(crate) const fn operation_timeout(&self) -> Duration {
        Duration::from_millis(self.lease_ms * 3 / 10)
    }

    /// Tells whether a fence is left out, which shows only when two executions overlap.
    pub(crate) fn leaves_a_fence_out(&self) -> bool {
        match self.sabotage {
            Some(Sabotage::CompleteFence | Sabotage::RenewFence) => true,
            Some(Sabotage::InTransactionCheck) => self.mode == Mode::Fenced,
            Some(Sabotage::TokenRecognition) | None => false,
        }
    }

    /// How to run again with the same choices.
    pub(crate) fn again(&self, seed: u64) -> String {
        let Self {
            seconds,
            mode,
            store,
            keys,
            clients,
            servers,
            lease_ms,
            relaxed_claims,
            ..
        } = self;
        let relaxed = if *relaxed_claims {
            " --relaxed-claims"
        } else {
            ""
        };
        let sabotage = self
            .sabotage
            .map_or_else(String::new, |guard| format!(" --sabotage {guard}"));
        format!(
            "cargo xtask chaos --seconds {seconds} --seed {seed} --mode {mode} --store {store} \
             --keys {keys} --clients {clients} --servers {servers} --lease-ms {lease_ms}{sabotage}{relaxed}"
        )
    }
}
