//! Serves one peer's layer on a free port, and ends when its standard input does.
//!
//! All have the handler, the runtime and the settings of the connections that the contenders of
//! `benches/side-by-side` have.

mod axum_idempotent_layer;

use std::{io::Read, sync::Arc, thread};

use anyhow::{Result, bail};
use axum::{
    Router,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::post,
    serve::ListenerExt,
};
use bytes::Bytes;
use clap::Parser;
use rustango::{
    cache::{BoxedCache, InMemoryCache},
    idempotency::{IdempotencyLayer as RustangoLayer, IdempotencyRouterExt},
};
use tokio::net::TcpListener;

const NAMES: [&str; 2] = ["axum-idempotent", "rustango"];

/// Serves another project's layer.
#[derive(Debug, Parser)]
struct Arguments {
    /// Lists the names.
    #[arg(long)]
    list: bool,
    /// Which one.
    #[arg(long, default_value = "")]
    name: String,
    /// The size of the handler's answer.
    #[arg(long, default_value_t = 200)]
    body_bytes: usize,
    /// The number of threads that serve.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Not used: no peer here has a database.
    #[arg(long, default_value = "")]
    database_url: String,
    /// Not used.
    #[arg(long, default_value = "")]
    file: String,
    /// Not used.
    #[arg(long, default_value_t = 0)]
    pool: u32,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if arguments.list {
        println!("{}", NAMES.join("\n"));
        return Ok(());
    }
    thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(arguments.threads)
        .enable_all()
        .build()?;
    runtime.block_on(serve(&arguments))
}

async fn serve(arguments: &Arguments) -> Result<()> {
    let body = Bytes::from(vec![b'x'; arguments.body_bytes]);
    let plain = Router::new().route("/payments", post(pay)).with_state(body);
    let router = match arguments.name.as_str() {
        "axum-idempotent" => axum_idempotent_layer::router(plain).await?,
        "rustango" => rustango(plain),
        _ => bail!("unknown peer; there are {}", NAMES.join(", ")),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    let listener = listener.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    println!("listening on port {port}");
    axum::serve(listener, router).await?;
    Ok(())
}

async fn pay(State(body): State<Bytes>, request: Bytes) -> Response {
    drop(request);
    (
        StatusCode::CREATED,
        [(CONTENT_TYPE, "application/json")],
        body,
    )
        .into_response()
}

fn rustango(plain: Router) -> Router {
    let cache = InMemoryCache::new().with_max_bytes(0).with_max_entries(0);
    let cache: BoxedCache = Arc::new(cache);
    plain.idempotency(RustangoLayer::new(cache))
}
