//! Running a scenario as a test, once for each store.

use std::{future::Future, sync::OnceLock, time::Duration};

/// The bound of a scenario.
const BOUND: Duration = Duration::from_secs(60);

static BINARY: OnceLock<&'static str> = OnceLock::new();

/// The store of a fixture.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum StoreKind {
    /// In the memory of one process.
    Memory,
    /// A file.
    Sqlite,
    /// A schema of the server that `TEST_DATABASE_URL` names.
    Postgres,
    /// A schema behind a pooler of its own, that gives each transaction another connection.
    Pooled,
}

/// Runs a scenario to its end on a runtime of its own, within a minute.
///
/// `binary` is the fixture server; only an integration test knows where it is.
///
/// # Panics
///
/// If the scenario does, or does not end in time.
pub fn run<F: Future<Output = ()>>(
    binary: &'static str,
    kind: StoreKind,
    scenario: impl FnOnce(StoreKind) -> F,
) {
    BINARY.get_or_init(|| binary);
    if kind == StoreKind::Pooled && crate::pooled::program().is_none() {
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime can be built");
    runtime.block_on(async {
        tokio::time::timeout(BOUND, scenario(kind))
            .await
            .expect("the scenario ends within a minute");
    });
}

/// Returns the path of the fixture server.
pub(crate) fn binary() -> &'static str {
    BINARY.get().expect("scenarios are started by `run`")
}

/// Turns each `async fn name(kind: StoreKind)` into tests `memory::name`, `sqlite::name`, ..
///
/// Stores are listed in the order memory, sqlite, postgres; use it once in a module. With `pooled;`
/// in front, what runs on Postgres runs behind a pooler, too, as tests `pooled::name`:
///
/// ```text
/// scenarios! {
///     pooled;
///     [memory, sqlite, postgres] exe_01_the_first_request_runs, exe_02_a_retry_is_replayed;
///     [sqlite, postgres] exe_18_a_retry_through_another_process_is_replayed;
/// }
/// ```
#[macro_export]
macro_rules! scenarios {
    // All groups are sorted: make the modules.
    (@sorted pooled [$($memory:ident)*] [$($sqlite:ident)*] [$($postgres:ident)*]) => {
        $crate::scenarios!(@sorted [$($memory)*] [$($sqlite)*] [$($postgres)*]);
        $crate::scenarios!(@module pooled Pooled [$($postgres)*]);
    };
    (@sorted [$($memory:ident)*] [$($sqlite:ident)*] [$($postgres:ident)*]) => {
        $crate::scenarios!(@module memory Memory [$($memory)*]);
        $crate::scenarios!(@module sqlite Sqlite [$($sqlite)*]);
        $crate::scenarios!(@module postgres Postgres [$($postgres)*]);
    };
    (@module $module:ident $kind:ident []) => {};
    (@module $module:ident $kind:ident [$($name:ident)+]) => {
        mod $module {
            $(
                #[test]
                fn $name() {
                    $crate::run(
                        env!("CARGO_BIN_EXE_fixture"),
                        $crate::StoreKind::$kind,
                        super::$name,
                    );
                }
            )+
        }
    };
    // Sort one group into the lists of its stores.
    (@sorted $($pooled:ident)? [$($m:ident)*] [$($s:ident)*] [$($p:ident)*]
        [memory, sqlite, postgres] $($name:ident),+ $(,)? $(; $($rest:tt)*)?) => {
        $crate::scenarios!(@sorted $($pooled)? [$($m)* $($name)+] [$($s)* $($name)+] [$($p)* $($name)+] $($($rest)*)?);
    };
    (@sorted $($pooled:ident)? [$($m:ident)*] [$($s:ident)*] [$($p:ident)*]
        [sqlite, postgres] $($name:ident),+ $(,)? $(; $($rest:tt)*)?) => {
        $crate::scenarios!(@sorted $($pooled)? [$($m)*] [$($s)* $($name)+] [$($p)* $($name)+] $($($rest)*)?);
    };
    (@sorted $($pooled:ident)? [$($m:ident)*] [$($s:ident)*] [$($p:ident)*]
        [memory, postgres] $($name:ident),+ $(,)? $(; $($rest:tt)*)?) => {
        $crate::scenarios!(@sorted $($pooled)? [$($m)* $($name)+] [$($s)*] [$($p)* $($name)+] $($($rest)*)?);
    };
    (@sorted $($pooled:ident)? [$($m:ident)*] [$($s:ident)*] [$($p:ident)*]
        [memory, sqlite] $($name:ident),+ $(,)? $(; $($rest:tt)*)?) => {
        $crate::scenarios!(@sorted $($pooled)? [$($m)* $($name)+] [$($s)* $($name)+] [$($p)*] $($($rest)*)?);
    };
    (@sorted $($pooled:ident)? [$($m:ident)*] [$($s:ident)*] [$($p:ident)*]
        [memory] $($name:ident),+ $(,)? $(; $($rest:tt)*)?) => {
        $crate::scenarios!(@sorted $($pooled)? [$($m)* $($name)+] [$($s)*] [$($p)*] $($($rest)*)?);
    };
    (@sorted $($pooled:ident)? [$($m:ident)*] [$($s:ident)*] [$($p:ident)*]
        [sqlite] $($name:ident),+ $(,)? $(; $($rest:tt)*)?) => {
        $crate::scenarios!(@sorted $($pooled)? [$($m)*] [$($s)* $($name)+] [$($p)*] $($($rest)*)?);
    };
    (@sorted $($pooled:ident)? [$($m:ident)*] [$($s:ident)*] [$($p:ident)*]
        [postgres] $($name:ident),+ $(,)? $(; $($rest:tt)*)?) => {
        $crate::scenarios!(@sorted $($pooled)? [$($m)*] [$($s)*] [$($p)* $($name)+] $($($rest)*)?);
    };
    (pooled; [$($stores:tt)*] $($rest:tt)*) => {
        $crate::scenarios!(@sorted pooled [] [] [] [$($stores)*] $($rest)*);
    };
    ([$($stores:tt)*] $($rest:tt)*) => {
        $crate::scenarios!(@sorted [] [] [] [$($stores)*] $($rest)*);
    };
}
