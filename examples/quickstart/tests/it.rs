//! The printed lines do what they promise, on SQLite and on Postgres, and so does the page.

#![expect(clippy::unwrap_used, reason = "a test that meets an error has failed")]

use std::{
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
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
        let output = shell(&self.curls[line]);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The page, with its headers.
    fn page(&self) -> String {
        let url = self.curls[2].trim_end_matches("payments");
        let output = shell(&url.replace("curl", "curl -si"));
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

fn shell(line: &str) -> Output {
    Command::new("sh").args(["-c", line]).output().unwrap()
}

/// Runs a test with a quickstart on a SQLite file of its own.
fn on_sqlite(name: &str, test: impl FnOnce(&Quickstart)) {
    let name = format!("quickstart-{name}-{}", std::process::id());
    let folder: PathBuf = std::env::temp_dir().join(name);
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("quickstart.db");
    test(&Quickstart::start(&["--file", file.to_str().unwrap()]));
    std::fs::remove_dir_all(&folder).unwrap();
}

impl Drop for Quickstart {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn the_printed_lines_pay_once_on_sqlite() {
    on_sqlite("pays", Quickstart::pays_once);
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

#[test]
fn the_page_needs_nothing_from_anywhere_else() {
    on_sqlite("page", |quickstart| {
        let page = quickstart.page();
        assert!(page.starts_with("HTTP/1.1 200 "), "{page}");
        assert!(page.contains("content-type: text/html"), "{page}");
        assert!(page.contains("default-src 'none'"), "{page}");
        for scheme in ["http://", "https://", "\"//", "url("] {
            for (at, _) in page.match_indices(scheme) {
                let before = &page[..at];
                assert!(before.ends_with("<a href=\""), "{}", &page[at..at + 60]);
            }
        }
        for word in ["src=", "@import", "import(", "<link rel=\"stylesheet"] {
            assert!(!page.contains(word), "{word}");
        }
    });
}

#[test]
fn an_answer_that_is_lost_on_purpose_was_kept_before() {
    on_sqlite("lost", |quickstart| {
        let line = &quickstart.curls[0];
        let lost = shell(&line.replace("curl -i", "curl -sS -i -H 'X-Lose-Answer: yes'"));
        assert!(!lost.status.success(), "{lost:?}");
        assert_eq!(lost.stdout, b"", "not even a status arrives");
        let retry = quickstart.paste(1);
        assert!(retry.contains("x-idempotency-replay: true"), "{retry}");
        let list: serde_json::Value = serde_json::from_str(&quickstart.paste(2)).unwrap();
        assert_eq!(list.as_array().unwrap().len(), 1);
    });
}

fn sql(url: &str, sql: String) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let mut admin = PgConnection::connect(url).await.unwrap();
        admin.execute(AssertSqlSafe(sql)).await.unwrap();
    });
}
