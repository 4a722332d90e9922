//! What is measured.

use crate::{
    arguments::Arguments,
    measure::{FLOORS, Medium, Workload},
};

/// Contenders that are compared with each other, under one kind of load.
#[derive(Clone, Debug)]
pub(crate) struct Suite {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) medium: Medium,
    pub(crate) workload: Workload,
    pub(crate) body_bytes: usize,
    pub(crate) connections: Vec<usize>,
    pub(crate) contenders: Vec<String>,
    /// Many short turns instead of a few long ones: for differences of a few per cent.
    pub(crate) fine: bool,
}

const ALL: [usize; 6] = [1, 8, 64, 128, 256, 1024];
const SOME: [usize; 3] = [1, 64, 256];
const ONE: [usize; 1] = [64];

impl Suite {
    fn new(name: &'static str, title: &'static str, contenders: &[&str]) -> Self {
        Self {
            name,
            title,
            medium: Medium::Disk,
            workload: Workload::Fresh,
            body_bytes: 200,
            connections: ALL.to_vec(),
            contenders: contenders.iter().map(|&name| name.to_owned()).collect(),
            fine: false,
        }
    }
}

/// Returns all suites, in the order in which they run.
pub(crate) fn all(peers: &[String]) -> Vec<Suite> {
    let designs = [
        "leased",
        "batched-floor",
        "select-insert-update",
        "insert-update",
    ];
    let floors = FLOORS.map(|floor| floor.name);
    let durable = [&designs[..], &floors].concat();
    let fresh = [&["bare", "memory", "sqlite"], &durable[..]].concat();
    let mut memory = Suite {
        connections: ONE.to_vec(),
        ..Suite::new(
            "memory",
            "Fresh keys, records in memory",
            &["bare", "memory", "memory-floor"],
        )
    };
    memory.contenders.extend_from_slice(peers);
    vec![
        Suite::new("fresh", "Fresh keys, Postgres on disk", &fresh),
        Suite {
            medium: Medium::Tmpfs,
            ..Suite::new("tmpfs", "Fresh keys, Postgres in memory", &durable)
        },
        Suite {
            body_bytes: 16 * 1024,
            connections: ONE.to_vec(),
            ..Suite::new("large", "Fresh keys, 16 KiB responses", &designs)
        },
        business(),
        replays(),
        Suite {
            connections: ONE.to_vec(),
            workload: Workload::Unkeyed,
            fine: true,
            ..Suite::new(
                "unkeyed",
                "Requests without a key",
                &["bare", "memory", "no-op-layer"],
            )
        },
        memory,
    ]
}

fn business() -> Suite {
    let contenders = [
        "fenced",
        "fenced-relaxed",
        "fenced-effect",
        "transactional",
        "transactional-floor",
        "zero-to-production",
        "business-transaction",
        "business-insert",
    ];
    Suite {
        connections: SOME.to_vec(),
        ..Suite::new(
            "business",
            "Fresh keys, one row of the handler's own",
            &contenders,
        )
    }
}

fn replays() -> Suite {
    let contenders = [
        "bare",
        "memory",
        "leased",
        "leased-uncached",
        "select-insert-update",
    ];
    Suite {
        connections: SOME.to_vec(),
        workload: Workload::Replays,
        ..Suite::new("replays", "Replays", &contenders)
    }
}

/// Returns what was asked for.
pub(crate) fn chosen(arguments: &Arguments, peers: &[String]) -> Vec<Suite> {
    let is_wanted =
        |wanted: &[String], name: &str| wanted.is_empty() || wanted.iter().any(|each| each == name);
    let mut suites = all(peers);
    // Growth alone takes long enough.
    let only_growth = !arguments.growth.is_empty() && arguments.only.is_empty();
    suites.retain(|suite| is_wanted(&arguments.only, suite.name) && !only_growth);
    for suite in &mut suites {
        suite
            .contenders
            .retain(|name| is_wanted(&arguments.contenders, name));
        suite.connections = arguments.connections(&suite.connections);
    }
    suites.retain(|suite| !suite.contenders.is_empty());
    suites
}
