//! One transaction around all of it: a duplicate waits for the row's lock, and reads.

use axum::{
    Router,
    extract::{Request, State},
    response::{IntoResponse, Response},
    routing::post,
};
use bytes::Bytes;
use http::StatusCode;
use http_body_util::BodyExt;
use sqlx::PgPool;

use super::{
    kept::Kept,
    keyed::{self, Keyed},
    record,
};
use crate::{
    Arguments,
    handler::{Failed, PATH, insert_payment, paid},
};

pub(crate) async fn router(body: Bytes, arguments: &Arguments) -> anyhow::Result<Router> {
    let pool = record::open(arguments).await?;
    Ok(Router::new()
        .route(PATH, post(pay))
        .with_state((body, pool)))
}

async fn pay(
    State((body, pool)): State<(Bytes, PgPool)>,
    request: Request,
) -> Result<Response, Failed> {
    let (keyed, request) = keyed::read(request).await?;
    let request = request.into_body().collect().await?.to_bytes();
    match keyed {
        Some(keyed) => pay_once(&pool, &keyed, &request, body).await,
        None => Ok(StatusCode::BAD_REQUEST.into_response()),
    }
}

async fn pay_once(
    pool: &PgPool,
    keyed: &Keyed,
    request: &[u8],
    body: Bytes,
) -> Result<Response, Failed> {
    let mut transaction = pool.begin().await?;
    if !record::insert(&mut transaction, keyed).await? {
        let answer = record::answer(&mut transaction, keyed).await?;
        return Ok(answer.unwrap_or_else(|| StatusCode::CONFLICT.into_response()));
    }
    insert_payment(&mut transaction, request).await?;
    let (kept, response) = Kept::take(paid(body)).await?;
    record::update(&mut transaction, keyed, &kept).await?;
    transaction.commit().await?;
    Ok(response)
}
