use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    task::{AbortHandle, JoinSet},
};

use crate::{
    AfterSwallow, Direction, Fault, connection,
    orders::Orders,
    swallow::{Traps, Wanted},
};

/// How many connections a proxy has at once; more are refused.
const CONNECTIONS: usize = 1_000;
/// How long nothing is accepted after a failure to do so.
const PAUSE: Duration = Duration::from_millis(10);

/// A proxy for one server, on a port of its own of 127.0.0.1.
///
/// When it is dropped, its connections end and its port is closed.
#[derive(Debug)]
pub struct FaultProxy {
    addr: SocketAddr,
    shared: Arc<Shared>,
    accepting: AbortHandle,
}

/// What all connections of a proxy see.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) upstream: SocketAddr,
    pub(crate) orders: watch::Sender<Orders>,
    traps: Mutex<Traps>,
    pub(crate) swallowed: AtomicU64,
    accepted: AtomicU64,
    free: Arc<Semaphore>,
}

impl Shared {
    pub(crate) fn traps(&self) -> MutexGuard<'_, Traps> {
        self.traps.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FaultProxy {
    /// Starts a proxy that does nothing wrong yet; must be called inside of a tokio runtime.
    ///
    /// # Errors
    ///
    /// If no port can be had.
    ///
    /// # Cancel safety
    ///
    /// If it is cancelled, no proxy is left.
    pub async fn start(upstream: SocketAddr) -> io::Result<Self> {
        Self::start_seeded(upstream, fastrand::u64(..)).await
    }

    /// Starts a proxy whose random choices follow from `seed`.
    ///
    /// # Errors
    ///
    /// If no port can be had.
    ///
    /// # Cancel safety
    ///
    /// If it is cancelled, no proxy is left.
    pub async fn start_seeded(upstream: SocketAddr, seed: u64) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let shared = Arc::new(Shared {
            upstream,
            orders: watch::Sender::new(Orders::default()),
            traps: Mutex::new(Traps::seeded(seed)),
            swallowed: AtomicU64::new(0),
            accepted: AtomicU64::new(0),
            free: Arc::new(Semaphore::new(CONNECTIONS)),
        });
        let addr = listener.local_addr()?;
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared))).abort_handle();
        Ok(Self {
            addr,
            shared,
            accepting,
        })
    }

    /// Returns the address that clients connect to.
    #[must_use]
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Returns how many connections there are, those included that are just being closed.
    #[must_use]
    pub fn connections(&self) -> usize {
        CONNECTIONS - self.shared.free.available_permits()
    }

    /// Returns how many connections there have been; those that were refused do not count.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.shared.accepted.load(Ordering::SeqCst)
    }

    /// Does this wrong from now on, instead of what was set before.
    pub fn set(&self, fault: Fault) {
        self.order(|orders| {
            orders.fault = fault;
            orders.generation += 1;
        });
    }

    /// Does nothing wrong from now on: no fault, no reply swallowed.
    ///
    /// Connections that have lost something stay as they are.
    pub fn clear(&self) {
        let mut traps = self.shared.traps();
        traps.once.clear();
        traps.commits_per_mille = 0;
        drop(traps);
        self.set(Fault::Pass);
    }

    /// Closes all present connections in an orderly way, with FIN to both sides.
    pub fn cut(&self) {
        self.order(|orders| orders.cuts += 1);
    }

    /// Breaks all present connections off, with RST to both sides.
    pub fn reset(&self) {
        self.order(|orders| orders.resets += 1);
    }

    /// Ends one direction of all present connections with FIN; the other one goes on.
    pub fn half_close(&self, direction: Direction) {
        self.order(|orders| orders.half_close(direction));
    }

    /// Swallows the reply to the next COMMIT, and closes its connection.
    ///
    /// The COMMIT reaches Postgres, whose whole answer is awaited: what was committed is there.
    /// Called twice, it is about the next two.
    pub fn swallow_next_commit_reply(&self) {
        self.shared.traps().once.push(Wanted::Commit);
    }

    /// Swallows the reply to the next statement that runs, whatever it is.
    ///
    /// Preparing a statement is not running it; BEGIN is.
    pub fn swallow_next_reply(&self) {
        self.shared.traps().once.push(Wanted::Any);
    }

    /// Swallows the reply to the next statement that runs and whose text contains `part`.
    pub fn swallow_next_reply_to(&self, part: &str) {
        let wanted = Wanted::Containing(part.to_owned());
        self.shared.traps().once.push(wanted);
    }

    /// Swallows the reply to so many of a thousand COMMITs from now on, chosen at random.
    pub fn swallow_commit_replies(&self, per_mille: u16) {
        self.shared.traps().commits_per_mille = per_mille;
    }

    /// Says what becomes of connections whose reply is swallowed from now on.
    pub fn after_swallow(&self, after: AfterSwallow) {
        self.shared.traps().after = after;
    }

    /// Returns how many replies were swallowed to their end.
    ///
    /// A reply that never came, since the server died meanwhile, is not counted.
    #[must_use]
    pub fn swallowed(&self) -> u64 {
        self.shared.swallowed.load(Ordering::SeqCst)
    }

    fn order(&self, change: impl FnOnce(&mut Orders)) {
        self.shared.orders.send_modify(change);
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        // The task owns the connections' tasks, which end with it.
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                match accepted {
                    Ok((client, _)) => begin(client, &shared, &mut connections),
                    // The process has too many files open, say, which passes.
                    Err(_) => tokio::time::sleep(PAUSE).await,
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

fn begin(client: TcpStream, shared: &Arc<Shared>, connections: &mut JoinSet<()>) {
    let orders = *shared.orders.borrow();
    let permit = Arc::clone(&shared.free).try_acquire_owned();
    let (Ok(permit), false) = (permit, orders.fault == Fault::Refuse) else {
        connection::refuse(client);
        return;
    };
    shared.accepted.fetch_add(1, Ordering::SeqCst);
    let shared = Arc::clone(shared);
    connections.spawn(async move {
        connection::serve(client, &shared, orders).await;
        drop(permit);
    });
}
