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

/// Rows are changed where their claim has put them: joined by their key, they were looked for in
/// all of the index, once the table had been analysed while it was small.
const BATCH: &str = "
WITH claimed AS (
    INSERT INTO batched (id, fingerprint)
    SELECT * FROM unnest($1::bytea[], $2::bytea[])
    ON CONFLICT DO NOTHING
    RETURNING id, ctid
), kept AS (
    UPDATE batched SET status = ends.status, headers = ends.headers, body = ends.body
    FROM unnest($3::text::tid[], $4::smallint[], $5::bytea[], $6::bytea[])
         AS ends (place, status, headers, body)
    WHERE batched.ctid = ends.place
)
SELECT CASE WHEN count(*) < cardinality($1) THEN array_agg(id) END, string_agg(tidsend(ctid), '')
FROM claimed";

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
    let Some(place) = batcher.run(claim).await.map_err(failed)? else {
        return Ok(StatusCode::CONFLICT.into_response());
    };
    let (kept, response) = Kept::take(next.run(request).await).await?;
    let keep = Operation::Keep { place, kept };
    batcher.run(keep).await.map_err(failed)?;
    Ok(response)
}

fn failed(error: impl std::fmt::Display) -> anyhow::Error {
    anyhow::anyhow!("a batch failed: {error}")
}

type Id = [u8; 32];

/// Where a claim has put its row, as `tidsend` tells it: a page, and a number there.
type Place = [u8; 6];

enum Operation {
    Claim { id: Id, fingerprint: [u8; 32] },
    Keep { place: Place, kept: Kept },
}

struct Lanes {
    url: String,
}

impl Backend for Lanes {
    type Connection = PgConnection;
    type Operation = Operation;
    type Key = Place;
    /// What a claim has made, if it was the first of its key.
    type Answer = Option<Place>;
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

    fn key(&self, operation: &Operation) -> Option<Place> {
        match operation {
            Operation::Claim { .. } => None,
            Operation::Keep { place, .. } => Some(*place),
        }
    }
}

async fn run(
    connection: &mut PgConnection,
    batch: &[Operation],
) -> sqlx::Result<Vec<Option<Place>>> {
    let claims = || {
        batch.iter().filter_map(|operation| match operation {
            Operation::Claim { id, fingerprint } => Some((id, fingerprint)),
            Operation::Keep { .. } => None,
        })
    };
    let ends = || {
        batch.iter().filter_map(|operation| match operation {
            Operation::Claim { .. } => None,
            Operation::Keep { place, kept } => Some((place, kept)),
        })
    };
    let row = sqlx::query(BATCH)
        .bind(claims().map(|(id, _)| id.as_slice()).bind_iter())
        .bind(
            claims()
                .map(|(_, fingerprint)| fingerprint.as_slice())
                .bind_iter(),
        )
        .bind(list(ends().map(|(place, _)| place)))
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
    // In the order of the claims that were the first.
    let places: Option<&[u8]> = row.try_get(1)?;
    let (places, _) = places.unwrap_or_default().as_chunks();
    let mut places = places.iter().copied();
    let mut answer = |operation: &Operation| match operation {
        Operation::Claim { id, .. } if is_first(id) => places.next(),
        Operation::Claim { .. } | Operation::Keep { .. } => None,
    };
    Ok(batch.iter().map(&mut answer).collect())
}

/// Writes places as the server writes an array of them.
fn list<'a>(places: impl Iterator<Item = &'a Place>) -> String {
    let write = |[a, b, c, d, e, f]: &Place| {
        let page = u32::from_be_bytes([*a, *b, *c, *d]);
        format!("\"({page},{})\"", u16::from_be_bytes([*e, *f]))
    };
    let places: Vec<_> = places.map(write).collect();
    format!("{{{}}}", places.join(","))
}
