use std::time::Duration;

/// What a proxy does wrong until it is told otherwise.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Fault {
    /// Nothing: every byte passes.
    #[default]
    Pass,
    /// Holds back each chunk, in both directions, for so long.
    Delay(Duration),
    /// Lets so many bytes a second through, in each direction of each connection.
    Bandwidth(u64),
    /// Swallows what goes there, the end of the stream included; connections stay open.
    ///
    /// What was swallowed is lost for good: to a protocol, a connection that has lost bytes is
    /// broken, and should be cut before the fault is cleared.
    BlackHole(Direction),
    /// Resets new connections; those that exist go on.
    Refuse,
    /// Closes each connection after it has passed so many more bytes, both directions together.
    CutAfter(u64),
}

/// Where bytes go.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Direction {
    /// From the client to the server.
    ToServer,
    /// From the server to the client.
    ToClient,
    /// Both ways.
    Both,
}

impl Direction {
    pub(crate) fn covers(self, one: Self) -> bool {
        self == Self::Both || self == one
    }
}

/// What becomes of a connection whose reply was swallowed.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum AfterSwallow {
    /// It is closed, so that the client knows at once that something went wrong.
    #[default]
    Cut,
    /// It stays open and dead until the client leaves, which has to have a bound of its own.
    Hang,
}
