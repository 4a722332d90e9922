//! Several processes on one file.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use futures_util::future::join_all;
use tower_idempotency_core::{Claim, Store};
use tower_idempotency_sqlite::SqliteStore;
use tower_idempotency_testkit::run;

use crate::support::{Folder, complete, request};

/// Names the file to the processes that this test starts from its own program.
const FILE: &str = "SQLITE_PROCESS_TEST_FILE";
const PROCESSES: usize = 4;
const CLAIMS: usize = 32;

/// Claims one key from many tasks, and prints how many got it.
async fn contend(file: &Path) -> usize {
    let store = SqliteStore::open(file).await.unwrap();
    let claims = (0..CLAIMS).map(|_| {
        let store = store.clone();
        tokio::spawn(async move {
            match store.claim(&request("contended")).await.unwrap() {
                Claim::Acquired(mut execution) => {
                    complete(&mut execution).await;
                    1
                }
                _ => 0,
            }
        })
    });
    join_all(claims).await.into_iter().map(Result::unwrap).sum()
}

/// Runs as the test, and again, with the file's name, as each of its processes.
#[test]
fn one_claim_of_many_processes_wins() {
    if let Some(file) = std::env::var_os(FILE) {
        println!("won={}", run(contend(Path::new(&file))));
        return;
    }
    let folder = Folder::new();
    let processes: Vec<_> = (0..PROCESSES)
        .map(|_| {
            Command::new(std::env::current_exe().unwrap())
                .args([
                    "--exact",
                    "processes::one_claim_of_many_processes_wins",
                    "--nocapture",
                ])
                .env(FILE, folder.file())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    let mut won = Vec::new();
    for process in processes {
        let output = process.wait_with_output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{text}");
        let line = text.lines().find_map(|line| line.split_once("won="));
        won.push(line.unwrap().1.parse::<usize>().unwrap());
    }
    assert_eq!(won.iter().sum::<usize>(), 1, "{won:?}");
}
