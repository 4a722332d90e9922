//! Starts servers and clients, breaks everything between them, and judges what came of it.

#![expect(
    clippy::print_stdout,
    reason = "this program talks to the person who runs it"
)]

mod arena;
mod arguments;
mod board;
mod chaos_run;
mod clients;
mod database;
mod ending;
mod fleet;
mod folder;
mod http_call;
mod nemesis;
mod probes;
mod process;
mod progress;
mod verdict;

use std::process::ExitCode;

use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

use crate::arguments::Arguments;

/// Set-up errors, as opposed to violations.
const COULD_NOT_RUN: u8 = 2;

/// What a shell reports for a program that was interrupted.
const INTERRUPTED: u8 = 130;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    tokio::select! {
        biased;
        () = interrupted() => {
            println!("interrupted");
            ExitCode::from(INTERRUPTED)
        }
        outcome = chaos_run::run(&arguments) => match outcome {
            Ok(0) => ExitCode::SUCCESS,
            Ok(_) => ExitCode::FAILURE,
            Err(error) => {
                println!("chaos could not run: {error:#}");
                ExitCode::from(COULD_NOT_RUN)
            }
        },
    }
}

/// Ends when somebody wants this program to end.
async fn interrupted() {
    let signals = (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
    );
    let (Ok(mut interrupt), Ok(mut terminate)) = signals else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}
