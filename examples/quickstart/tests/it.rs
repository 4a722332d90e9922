//! The printed lines do what they promise, on SQLite and on Postgres.

#![expect(clippy::unwrap_used, reason = "a test that meets an error has failed")]

use std::{
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

/// A running quickstart, and the `curl` lines that it has printed.
struct Quickstart {
    process: Child,
    curls: Vec<String>,
}

impl Quickstart {
    fn start(arguments: &[&str]) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_quickstart"))
            .args(["--listen", "127.0.0.1:0"])
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(process.stdout.take().unwrap());
        let mut curls = Vec::new();
        for line in stdout.lines() {
            let line = line.unwrap();
            if line.starts_with("curl ") {
                curls.push(line);
            } else if let Some((_, list)) = line.split_once("One payment: ") {
                curls.push(list.to_owned());
                break;
            }
        }
        Self { process, curls }
    }

    /// Runs a printed line in a shell, as a reader would.
    fn paste(&self, line: usize) -> String {
        let output = Command::new("sh")
            .args(["-c", &self.curls[line]])
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn pays_once(&self) {
        let (first, second) = (self.paste(0), self.paste(1));
        for reply in [&first, &second] {
            assert!(reply.starts_with("HTTP/1.1 201 "), "{reply}");
            assert!(reply.contains("location: /payments/"), "{reply}");
        }
        assert!(!first.contains("x-idempotency-replay"), "{first}");
        assert!(second.contains("x-idempotency-replay: true"), "{second}");
        let body = |reply: &str| reply.lines().last().unwrap().to_owned();
        assert_eq!(body(&first), body(&second));
        let list: serde_json::Value = serde_json::from_str(&self.paste(2)).unwrap();
        let list = list.as_array().unwrap();
        assert_eq!(list.len(), 1);
        assert_eq!(
            list[0],
            serde_json::from_str::<serde_json::Value>(&body(&first)).unwrap()
        );
    }
}

impl Drop for Quickstart {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn the_printed_lines_pay_once_on_sqlite() {
    let name = format!("quickstart-{}", std::process::id());
    let folder: PathBuf = std::env::temp_dir().join(name);
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("quickstart.db");
    Quickstart::start(&["--file", file.to_str().unwrap()]).pays_once();
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn the_printed_lines_pay_once_on_postgres() {
    let url = std::env::var("TEST_DATABASE_URL")
        .expect("run `cargo xtask test`, or set TEST_DATABASE_URL to a server for tests");
    let schema = format!("quickstart_{}", std::process::id());
    sql(&url, format!("CREATE SCHEMA {schema}"));
    let own = format!("{url}?options=-csearch_path%3D{schema}");
    Quickstart::start(&["--database-url", &own]).pays_once();
    sql(&url, format!("DROP SCHEMA {schema} CASCADE"));
}

fn sql(url: &str, sql: String) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let mut admin = PgConnection::connect(url).await.unwrap();
        admin.execute(AssertSqlSafe(sql)).await.unwrap();
    });
}
