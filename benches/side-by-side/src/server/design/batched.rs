//! The least that natural batching costs: claims and completions in flight share a statement and a
//! commit, and there is nothing of a protocol. No lease, no token, no fence, no look before the
//! insert, no constraints, no replay.
//!
//! Nobody could use it. What the layer is slower than this is what its guarantees cost; what this
//! is slower than wished, no layer on these libraries could be.

use axum::{
    Router,
    extract::{Request, State},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::StatusCode;
use sqlx::{Connection, Executor, PgConnection, Row, postgres::PgBindIterExt};
use tower_idempotency_batch::{Backend, Batcher, Limits, Ran};

use super::{kept::Kept, keyed};
use crate::{
    Arguments,
    handler::{self, Failed},
};

const TABLE: &str = "CREATE TABLE IF NOT EXISTS batched (
    id bytea PRIMARY KEY,
    fingerprint bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    status smallint,
    headers bytea,
    body bytea
) WITH (fillfactor = 33)";

/// As the lanes of the layer's store have them: without these, the planner reads the whole table.
const SETTINGS: &str = "SET enable_seqscan = off; SET enable_bitmapscan = off;
SET enable_hashjoin = off; SET enable_mergejoin = off; SET jit = off;
SET plan_cache_mode = force_generic_plan";

const BATCH: &str = "
WITH claimed AS (
    INSERT INTO batched (id, fingerprint)
    SELECT * FROM unnest($1::bytea[], $2::bytea[])
    ON CONFLICT DO NOTHING
    RETURNING id
), kept AS (
    UPDATE batched SET status = ends.status, headers = ends.headers, body = ends.body
    FROM unnest($3::bytea[], $4::smallint[], $5::bytea[], $6::bytea[])
         AS ends (id, status, headers, body)
    WHERE batched.id = ends.id
)
SELECT CASE WHEN count(*) < cardinality($1) THEN array_agg(id) END FROM claimed";

pub(crate) async fn router(body: Bytes, arguments: &Arguments) -> anyhow::Result<Router> {
    let url = arguments.database_url.clone();
    PgConnection::connect(&url).await?.execute(TABLE).await?;
    let batcher = Batcher::new(Lanes { url }, Limits::default());
    Ok(handler::plain(body).layer(from_fn_with_state(batcher, guard)))
}

async fn guard(
    State(batcher): State<Batcher<Lanes>>,
    request: Request,
    next: Next,
) -> Result<Response, Failed> {
    let (keyed, request) = keyed::read(request).await?;
    let Some(keyed) = keyed else {
        return Ok(next.run(request).await);
    };
    let id = keyed.id();
    let fingerprint = keyed.fingerprint;
    let claim = Operation::Claim { id, fingerprint };
    let is_first = batcher.run(claim).await.map_err(failed)?;
    if !is_first {
        return Ok(StatusCode::CONFLICT.into_response());
    }
    let (kept, response) = Kept::take(next.run(request).await).await?;
    let keep = Operation::Keep { id, kept };
    batcher.run(keep).await.map_err(failed)?;
    Ok(response)
}

fn failed(error: impl std::fmt::Display) -> anyhow::Error {
    anyhow::anyhow!("a batch failed: {error}")
}

type Id = [u8; 32];

enum Operation {
    Claim { id: Id, fingerprint: [u8; 32] },
    Keep { id: Id, kept: Kept },
}

struct Lanes {
    url: String,
}

impl Backend for Lanes {
    type Connection = PgConnection;
    type Operation = Operation;
    type Key = Id;
    /// Whether a claim was the first of its key.
    type Answer = bool;
    type Error = String;

    async fn connect(&self) -> Result<PgConnection, String> {
        let connected = async {
            let mut connection = PgConnection::connect(&self.url).await?;
            connection.execute(sqlx::raw_sql(SETTINGS)).await?;
            Ok(connection)
        };
        connected
            .await
            .map_err(|error: sqlx::Error| error.to_string())
    }

    async fn reuse(&self, connection: PgConnection) -> Option<PgConnection> {
        Some(connection)
    }

    async fn run(&self, mut connection: PgConnection, batch: &[Operation]) -> Ran<Self> {
        match run(&mut connection, batch).await {
            Ok(answers) => Ran::Done {
                connection,
                answers,
            },
            Err(error) => Ran::Failed {
                connection: None,
                error: error.to_string(),
            },
        }
    }

    fn weight(&self, operation: &Operation) -> usize {
        match operation {
            Operation::Claim { .. } => 64,
            Operation::Keep { kept, .. } => 64 + kept.headers.len() + kept.body.len(),
        }
    }

    fn key(&self, operation: &Operation) -> Option<Id> {
        match operation {
            Operation::Claim { .. } => None,
            Operation::Keep { id, .. } => Some(*id),
        }
    }
}

async fn run(connection: &mut PgConnection, batch: &[Operation]) -> sqlx::Result<Vec<bool>> {
    let claims = || {
        batch.iter().filter_map(|operation| match operation {
            Operation::Claim { id, fingerprint } => Some((id, fingerprint)),
            Operation::Keep { .. } => None,
        })
    };
    let ends = || {
        batch.iter().filter_map(|operation| match operation {
            Operation::Claim { .. } => None,
            Operation::Keep { id, kept } => Some((id, kept)),
        })
    };
    let row = sqlx::query(BATCH)
        .bind(claims().map(|(id, _)| id.as_slice()).bind_iter())
        .bind(
            claims()
                .map(|(_, fingerprint)| fingerprint.as_slice())
                .bind_iter(),
        )
        .bind(ends().map(|(id, _)| id.as_slice()).bind_iter())
        .bind(ends().map(|(_, kept)| kept.status).bind_iter())
        .bind(ends().map(|(_, kept)| kept.headers.as_slice()).bind_iter())
        .bind(ends().map(|(_, kept)| kept.body.as_ref()).bind_iter())
        .fetch_one(connection)
        .await?;
    // Told only if not all were the first.
    let first: Option<Vec<Vec<u8>>> = row.try_get(0)?;
    let is_first = |id: &Id| {
        first
            .as_ref()
            .is_none_or(|first| first.iter().any(|one| one == id))
    };
    let answer = |operation: &Operation| match operation {
        Operation::Claim { id, .. } => is_first(id),
        Operation::Keep { .. } => true,
    };
    Ok(batch.iter().map(answer).collect())
}
