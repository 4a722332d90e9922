/// Where a contender keeps its records.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Records {
    /// It keeps none.
    Nowhere,
    /// In its own memory.
    Memory,
    /// In a SQLite file.
    Sqlite,
    /// In Postgres.
    Postgres,
}

/// One of those that are compared.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Contender {
    /// The name on the command line and in the reports.
    pub name: &'static str,
    /// What it does for a request with a key.
    pub description: &'static str,
    /// Where it keeps its records.
    pub records: Records,
    /// Whether it is measured with each size of the pool and keeps the best.
    pub tuned: bool,
    /// Whether its handler writes a row of its own.
    pub business: bool,
}

impl Contender {
    const fn new(name: &'static str, description: &'static str, records: Records) -> Self {
        Self {
            name,
            description,
            records,
            tuned: false,
            business: false,
        }
    }

    const fn tuned(mut self) -> Self {
        self.tuned = true;
        self
    }

    const fn business(mut self) -> Self {
        self.business = true;
        self
    }
}

/// All that the server of this package can be.
pub const CONTENDERS: [Contender; 18] = [
    Contender::new("bare", "axum without any layer", Records::Nowhere),
    Contender::new(
        "no-op-layer",
        "axum with a layer that does nothing",
        Records::Nowhere,
    ),
    Contender::new("memory", "ours, memory store", Records::Memory),
    Contender::new(
        "memory-floor",
        "the least that a key costs in memory: read, look up in a map, run, keep",
        Records::Memory,
    ),
    Contender::new("sqlite", "ours, SQLite store", Records::Sqlite),
    Contender::new("leased", "ours, Postgres store", Records::Postgres),
    Contender::new(
        "leased-uncached",
        "ours, Postgres store, without the layer's cache",
        Records::Postgres,
    ),
    Contender::new(
        "fenced",
        "ours, fenced Postgres store; business insert and complete_and_commit in the handler's \
         transaction",
        Records::Postgres,
    )
    .tuned()
    .business(),
    Contender::new(
        "fenced-relaxed",
        "the same, with claims that are durable with the handler's commit",
        Records::Postgres,
    )
    .tuned()
    .business(),
    Contender::new(
        "fenced-effect",
        "ours, fenced Postgres store; business insert and completion in one statement",
        Records::Postgres,
    )
    .tuned()
    .business(),
    Contender::new(
        "transactional",
        "ours, Postgres store; business insert in the layer's transaction",
        Records::Postgres,
    )
    .tuned()
    .business(),
    Contender::new(
        "batched-floor",
        "the least that batching costs: claims and completions in one statement, without a protocol",
        Records::Postgres,
    ),
    Contender::new(
        "select-insert-update",
        "SELECT the key; INSERT it as in progress; run; UPDATE with the response",
        Records::Postgres,
    )
    .tuned(),
    Contender::new(
        "insert-update",
        "INSERT the key ON CONFLICT DO NOTHING; run; UPDATE with the response",
        Records::Postgres,
    )
    .tuned(),
    Contender::new(
        "zero-to-production",
        "one transaction: INSERT the key ON CONFLICT DO NOTHING, business insert, UPDATE",
        Records::Postgres,
    )
    .tuned()
    .business(),
    Contender::new(
        "transactional-floor",
        "the least that a key costs in the handler's transaction: BEGIN, lock and look-up in one \
         message, business insert, record and COMMIT in one",
        Records::Postgres,
    )
    .tuned()
    .business(),
    Contender::new(
        "business-transaction",
        "no idempotency; BEGIN, business insert, COMMIT",
        Records::Postgres,
    )
    .tuned()
    .business(),
    Contender::new(
        "business-insert",
        "no idempotency; business insert in a transaction of its own",
        Records::Postgres,
    )
    .tuned()
    .business(),
];

/// Returns the contender of this name.
#[must_use]
pub fn find(name: &str) -> Option<Contender> {
    CONTENDERS.into_iter().find(|each| each.name == name)
}
