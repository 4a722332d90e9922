//! INSERT the key ON CONFLICT DO NOTHING; run; UPDATE with the response.

use axum::{
    Router,
    extract::{Request, State},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::StatusCode;
use sqlx::PgPool;

use super::{kept::Kept, keyed, record};
use crate::{
    Arguments,
    handler::{self, Failed},
};

pub(crate) async fn router(body: Bytes, arguments: &Arguments) -> anyhow::Result<Router> {
    let pool = record::open(arguments).await?;
    Ok(handler::plain(body).layer(from_fn_with_state(pool, guard)))
}

async fn guard(
    State(pool): State<PgPool>,
    request: Request,
    next: Next,
) -> Result<Response, Failed> {
    let (keyed, request) = keyed::read(request).await?;
    let Some(keyed) = keyed else {
        return Ok(next.run(request).await);
    };
    let mut connection = pool.acquire().await?;
    if !record::insert(&mut connection, &keyed).await? {
        let answer = record::answer(&mut connection, &keyed).await?;
        return Ok(answer.unwrap_or_else(|| StatusCode::CONFLICT.into_response()));
    }
    // No connection is held while the handler runs.
    drop(connection);
    let (kept, response) = Kept::take(next.run(request).await).await?;
    let mut connection = pool.acquire().await?;
    record::update(&mut connection, &keyed, &kept).await?;
    Ok(response)
}
