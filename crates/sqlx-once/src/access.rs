use std::{future::ready, ops::DerefMut};

use sqlx::{Pool, Transaction, pool::PoolConnection};

use crate::{Backend, backend::BoxFuture};

/// Where a statement runs: `&pool`, `&mut connection`, or `&mut transaction`.
///
/// Nobody else can implement it. It is sqlx's `Acquire`, but can be used in a generic function whose
/// future has to be `Send`.
pub trait Access: Send + sealed::Sealed {
    /// The driver.
    type Database: Backend;

    #[doc(hidden)]
    type Connection: DerefMut<Target = <Self::Database as sqlx::Database>::Connection> + Send;

    #[doc(hidden)]
    fn connection<'a>(self) -> BoxFuture<'a, sqlx::Result<Self::Connection>>
    where
        Self: 'a;
}

mod sealed {
    #[expect(unnameable_types, reason = "nobody else implements `Access`")]
    pub trait Sealed {}
}

impl<DB: Backend> sealed::Sealed for &Pool<DB> {}

impl<DB: Backend> Access for &Pool<DB> {
    type Database = DB;
    type Connection = PoolConnection<DB>;

    fn connection<'a>(self) -> BoxFuture<'a, sqlx::Result<PoolConnection<DB>>>
    where
        Self: 'a,
    {
        Box::pin(self.acquire())
    }
}

impl<DB: Backend> sealed::Sealed for &mut PoolConnection<DB> {}

impl<'c, DB: Backend> Access for &'c mut PoolConnection<DB> {
    type Database = DB;
    type Connection = &'c mut DB::Connection;

    fn connection<'a>(self) -> BoxFuture<'a, sqlx::Result<&'c mut DB::Connection>>
    where
        Self: 'a,
    {
        Box::pin(ready(Ok(&mut **self)))
    }
}

impl<DB: Backend> sealed::Sealed for &mut Transaction<'_, DB> {}

impl<'c, DB: Backend> Access for &'c mut Transaction<'_, DB> {
    type Database = DB;
    type Connection = &'c mut DB::Connection;

    fn connection<'a>(self) -> BoxFuture<'a, sqlx::Result<&'c mut DB::Connection>>
    where
        Self: 'a,
    {
        Box::pin(ready(Ok(&mut **self)))
    }
}

#[cfg(any(feature = "any", feature = "postgres", feature = "sqlite"))]
macro_rules! access {
    ($database:ty, $connection:ty) => {
        impl sealed::Sealed for &mut $connection {}

        impl<'c> Access for &'c mut $connection {
            type Database = $database;
            type Connection = &'c mut $connection;

            fn connection<'a>(self) -> BoxFuture<'a, sqlx::Result<&'c mut $connection>>
            where
                Self: 'a,
            {
                Box::pin(ready(Ok(self)))
            }
        }
    };
}

#[cfg(feature = "postgres")]
access!(sqlx::Postgres, sqlx::PgConnection);

#[cfg(feature = "sqlite")]
access!(sqlx::Sqlite, sqlx::SqliteConnection);

#[cfg(feature = "any")]
access!(sqlx::Any, sqlx::AnyConnection);
