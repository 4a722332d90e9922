use std::{
    fmt,
    ops::{Deref, DerefMut},
};

use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream::BoxStream};
use sqlx::{
    Either, Execute, Executor, PgConnection, Postgres, SqlStr,
    error::BoxDynError,
    postgres::{PgArguments, PgQueryResult, PgRow, PgStatement, PgTypeInfo},
};

use super::open::OpenTransaction;
use crate::error;

/// The connection of a [`Tx`](crate::Tx), as an executor.
///
/// It notices when a statement fails because two transactions met, so that the layer can run the
/// request again, and prepares nothing under a name where a pooler could mix that up.
/// It is also a [`PgConnection`], for functions that take one; what they run is not noticed, nor
/// kept from being prepared under a name, and the same is true of savepoints: mark queries there
/// `persistent(false)` behind such a pooler.
pub struct TxConnection {
    /// `None` once it was given back.
    open: Option<Box<OpenTransaction>>,
}

impl TxConnection {
    pub(crate) fn new(open: Box<OpenTransaction>) -> Self {
        Self { open: Some(open) }
    }

    pub(crate) fn close(&mut self) -> Option<Box<OpenTransaction>> {
        self.open.take()
    }

    pub(crate) fn open_mut(&mut self) -> &mut OpenTransaction {
        self.open.as_mut().expect(GIVEN_BACK)
    }
}

const GIVEN_BACK: &str = "the transaction is given back by drop alone";

impl fmt::Debug for TxConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TxConnection").finish_non_exhaustive()
    }
}

impl Deref for TxConnection {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        self.open.as_ref().expect(GIVEN_BACK).connection_ref()
    }
}

impl DerefMut for TxConnection {
    fn deref_mut(&mut self) -> &mut PgConnection {
        self.open_mut().connection()
    }
}

/// A query that is prepared under a name only if that is safe.
struct Carried<E> {
    query: E,
    may_be_named: bool,
}

impl<'q, E: Execute<'q, Postgres>> Execute<'q, Postgres> for Carried<E> {
    fn sql(self) -> SqlStr {
        self.query.sql()
    }

    fn statement(&self) -> Option<&PgStatement> {
        self.query.statement()
    }

    fn take_arguments(&mut self) -> Result<Option<PgArguments>, BoxDynError> {
        self.query.take_arguments()
    }

    fn persistent(&self) -> bool {
        self.may_be_named && self.query.persistent()
    }
}

impl<'c> Executor<'c> for &'c mut TxConnection {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxStream<'e, sqlx::Result<Either<PgQueryResult, PgRow>>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let open = self.open_mut();
        let may_be_named = open.named_statements;
        let (connection, met_another) = open.parts();
        let query = Carried {
            query,
            may_be_named,
        };
        connection
            .fetch_many(query)
            .inspect(|step| *met_another |= step.as_ref().is_err_and(error::is_conflict))
            .boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, sqlx::Result<Option<PgRow>>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let open = self.open_mut();
        let may_be_named = open.named_statements;
        let (connection, met_another) = open.parts();
        let query = Carried {
            query,
            may_be_named,
        };
        connection
            .fetch_optional(query)
            .inspect(|row| *met_another |= row.as_ref().is_err_and(error::is_conflict))
            .boxed()
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, sqlx::Result<PgStatement>>
    where
        'c: 'e,
    {
        self.open_mut().connection().prepare_with(sql, parameters)
    }
}
