//! The paths that are measured: pieces of the layer's work, and whole requests.
//!
//! One list serves three measures, so that they speak of the same thing:
//!
//! - `cargo xtask instructions`: instructions under callgrind, which the machine's load does not
//!   change, and allocations; compared with `instructions.txt`;
//! - `cargo bench -p micro-benchmarks`: nanoseconds, by divan.

mod app;
mod piece;

pub use self::{app::App, piece::Pieces};

/// A path that can be run again and again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "every measure runs all of them")]
pub enum Path {
    /// Reading a key from the value of its header.
    ParseKey,
    /// The identity of a record.
    RecordId,
    /// The fingerprint of a request with a body of 200 bytes.
    FingerprintSmall,
    /// The fingerprint of a request with a body of 16 KiB.
    FingerprintLarge,
    /// Encoding the head of a response.
    EncodeResponse,
    /// Decoding a kept response.
    DecodeResponse,
    /// A claim and a completion in the memory store.
    MemoryStore,
    /// A request to axum alone.
    Bare,
    /// A request to axum with a layer that does nothing: what axum itself takes for any layer.
    BareLayered,
    /// A request that the layer does not cover.
    Uncovered,
    /// A request that the layer could cover, without a key.
    Unkeyed,
    /// The same through the layer for axum, which answers with axum's own body.
    UnkeyedForAxum,
    /// A request with a new key, on the memory store.
    Fresh,
    /// The same with a handler that has to wait for something once.
    FreshAwaiting,
    /// A request that is answered with a kept response, on the memory store.
    Replay,
}

impl Path {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 15] = [
        Self::ParseKey,
        Self::RecordId,
        Self::FingerprintSmall,
        Self::FingerprintLarge,
        Self::EncodeResponse,
        Self::DecodeResponse,
        Self::MemoryStore,
        Self::Bare,
        Self::BareLayered,
        Self::Uncovered,
        Self::Unkeyed,
        Self::UnkeyedForAxum,
        Self::Fresh,
        Self::FreshAwaiting,
        Self::Replay,
    ];

    /// Returns the name by which it is called and listed.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ParseKey => "parse-key",
            Self::RecordId => "record-id",
            Self::FingerprintSmall => "fingerprint-200-bytes",
            Self::FingerprintLarge => "fingerprint-16-kib",
            Self::EncodeResponse => "encode-response",
            Self::DecodeResponse => "decode-response",
            Self::MemoryStore => "memory-store",
            Self::Bare => "bare-axum",
            Self::BareLayered => "bare-axum-layered",
            Self::Uncovered => "uncovered",
            Self::Unkeyed => "unkeyed",
            Self::UnkeyedForAxum => "unkeyed-for-axum",
            Self::Fresh => "fresh-key",
            Self::FreshAwaiting => "fresh-key-awaiting",
            Self::Replay => "replay",
        }
    }

    /// Finds a path by its name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|path| path.name() == name)
    }
}

/// Everything that the paths need, made before anything is counted.
#[derive(Debug)]
pub struct Bench {
    pieces: Pieces,
    app: App,
}

impl Bench {
    /// Prepares all paths.
    ///
    /// # Errors
    ///
    /// None that could be helped: a layer that cannot be built.
    pub fn new() -> anyhow::Result<Self> {
        Ok(Self {
            pieces: Pieces::new()?,
            app: App::new()?,
        })
    }

    /// Runs `path` so many times.
    pub fn run(&mut self, path: Path, iterations: u64) {
        match path {
            Path::ParseKey => repeat(iterations, || self.pieces.parse_key()),
            Path::RecordId => repeat(iterations, || self.pieces.record_id()),
            Path::FingerprintSmall => repeat(iterations, || self.pieces.fingerprint_small()),
            Path::FingerprintLarge => repeat(iterations, || self.pieces.fingerprint_large()),
            Path::EncodeResponse => repeat(iterations, || self.pieces.encode()),
            Path::DecodeResponse => repeat(iterations, || self.pieces.decode()),
            _ => self.app.run(path, iterations),
        }
    }
}

fn repeat<T>(iterations: u64, mut work: impl FnMut() -> T) {
    for _ in 0..iterations {
        std::hint::black_box(work());
    }
}
