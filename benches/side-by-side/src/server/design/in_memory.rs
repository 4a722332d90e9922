//! The least that an idempotent request costs in memory: read the request, look its key up in a
//! map, run, keep the response. No lease, no bound, no expiry, no task that outlives the client.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Router,
    extract::{Request, State},
    middleware::{Next, from_fn_with_state},
    response::Response,
};
use bytes::Bytes;

use super::{
    kept::Kept,
    keyed::{self, Keyed},
};
use crate::handler::{self, Failed};

/// What is kept for each principal and key: the fingerprint, and the response once it is there.
type Records = Arc<Mutex<HashMap<(String, String), ([u8; 32], Option<Kept>)>>>;

pub(crate) fn router(body: Bytes) -> Router {
    handler::plain(body).layer(from_fn_with_state(Records::default(), guard))
}

async fn guard(
    State(records): State<Records>,
    request: Request,
    next: Next,
) -> Result<Response, Failed> {
    let (keyed, request) = keyed::read(request).await?;
    let Some(Keyed {
        principal,
        key,
        fingerprint,
    }) = keyed
    else {
        return Ok(next.run(request).await);
    };
    let name = (principal, key);
    let lock = || records.lock().unwrap_or_else(PoisonError::into_inner);
    match lock().entry(name.clone()) {
        Entry::Vacant(entry) => drop(entry.insert((fingerprint, None))),
        Entry::Occupied(entry) => {
            let (first, kept) = entry.get();
            return Ok(Kept::answer(kept.clone(), *first == fingerprint)?);
        }
    }
    let (kept, response) = Kept::take(next.run(request).await).await?;
    lock().insert(name, (fingerprint, Some(kept)));
    Ok(response)
}
