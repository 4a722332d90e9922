//! Serves one contender on a free port, and ends when its standard input does.

#![expect(clippy::print_stdout, reason = "it tells the driver its port")]

mod design;
mod handler;
mod ours;
mod pool;

use std::{io::Read, path::PathBuf, thread};

use anyhow::{Context, Result, bail};
use axum::{Router, serve::ListenerExt};
use bytes::Bytes;
use clap::Parser;
use side_by_side::{Contender, READY, Records};
use tokio::net::TcpListener;
use tower_layer::Identity;

/// Serves one contender of the benchmarks.
#[derive(Debug, Parser)]
struct Arguments {
    /// Which one; an unknown name lists them.
    #[arg(long)]
    name: String,
    /// A Postgres for those that need one.
    #[arg(long, value_name = "URL", default_value = "")]
    database_url: String,
    /// A SQLite file for the one that needs it.
    #[arg(long, value_name = "PATH", default_value = "contender.db")]
    file: PathBuf,
    /// The size of the pool, for those whose pool is not the store's own.
    #[arg(long, default_value_t = 10)]
    pool: u32,
    /// The size of the handler's answer.
    #[arg(long, default_value_t = 200)]
    body_bytes: usize,
    /// The number of threads that serve.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// How often expired records are swept, in milliseconds; by default as the layer has it.
    #[arg(long)]
    sweep_ms: Option<u64>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let Some(contender) = side_by_side::find(&arguments.name) else {
        let names: Vec<_> = side_by_side::CONTENDERS.iter().map(|c| c.name).collect();
        bail!("unknown contender; there are {}", names.join(", "));
    };
    thread::spawn(end_with_input);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(arguments.threads)
        .enable_all()
        .build()?;
    runtime.block_on(serve(contender, &arguments))
}

/// The driver holds the other end, and the system closes it with the driver.
fn end_with_input() {
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    #[expect(clippy::exit, reason = "nothing here is worth an orderly end")]
    std::process::exit(0);
}

async fn serve(contender: Contender, arguments: &Arguments) -> Result<()> {
    let router = router(contender, arguments).await?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    let listener = listener.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    println!("{READY}{port}");
    axum::serve(listener, router).await?;
    Ok(())
}

async fn router(contender: Contender, arguments: &Arguments) -> Result<Router> {
    let body = Bytes::from(vec![b'x'; arguments.body_bytes]);
    if contender.records == Records::Postgres && arguments.database_url.is_empty() {
        bail!("this contender needs --database-url");
    }
    let router = match contender.name {
        "bare" => handler::plain(body),
        "no-op-layer" => handler::plain(body).layer(Identity::new()),
        "memory-floor" => design::in_memory::router(body),
        "batched-floor" => design::batched::router(body, arguments).await?,
        "business-insert" => handler::business(body, pool::open(arguments).await?),
        "business-transaction" => handler::in_transaction(body, pool::open(arguments).await?),
        "select-insert-update" => design::select_insert_update::router(body, arguments).await?,
        "insert-update" => design::insert_update::router(body, arguments).await?,
        "transactional-floor" => design::transaction::router(body, arguments).await?,
        "zero-to-production" => design::zero_to_production::router(body, arguments).await?,
        _ => ours::router(contender, body, arguments)
            .await
            .context("cannot open the store")?,
    };
    Ok(router)
}
