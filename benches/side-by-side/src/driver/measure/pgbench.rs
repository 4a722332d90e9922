//! What Postgres itself can do, without a service before it.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use super::{Cpu, Database, Round};

/// A script of `pgbench`, one transaction for each statement.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Floor {
    pub(crate) name: &'static str,
    script: &'static str,
}

const TABLE: &str = "CREATE TABLE requests (
    principal text NOT NULL,
    key text NOT NULL,
    fingerprint bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    status smallint,
    headers bytea,
    body bytea,
    PRIMARY KEY (principal, key)
)";

const INSERT: &str = "\\set key random(1, 9000000000000000000)
INSERT INTO requests (principal, key, fingerprint) \
VALUES ('Bearer 0123456789abcdef0123456789abcdef', 'key-' || :key::bigint, \
'\\x0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef') ON CONFLICT DO NOTHING;
";

const INSERT_UPDATE: &str = "\\set key random(1, 9000000000000000000)
INSERT INTO requests (principal, key, fingerprint) \
VALUES ('Bearer 0123456789abcdef0123456789abcdef', 'key-' || :key::bigint, \
'\\x0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef') ON CONFLICT DO NOTHING;
UPDATE requests SET status = 201, headers = 'content-type=application/json', \
body = convert_to(repeat('x', 200), 'UTF8') \
WHERE principal = 'Bearer 0123456789abcdef0123456789abcdef' AND key = 'key-' || :key::bigint;
";

pub(crate) const FLOORS: [Floor; 2] = [
    Floor {
        name: "pgbench-insert",
        script: INSERT,
    },
    Floor {
        name: "pgbench-insert-update",
        script: INSERT_UPDATE,
    },
];

impl Floor {
    pub(crate) fn find(name: &str) -> Option<Self> {
        FLOORS.into_iter().find(|floor| floor.name == name)
    }

    /// Makes the table.
    pub(crate) fn set_up(self, database: &mut Database) -> Result<()> {
        database.fresh(self.name)?;
        database.run_in(self.name, TABLE)
    }

    pub(crate) fn measure(
        self,
        database: &mut Database,
        program: &Path,
        clients: usize,
        time: Duration,
    ) -> Result<Round> {
        let script = std::env::temp_dir().join(format!("{}-{}", self.name, std::process::id()));
        fs::write(&script, self.script)?;
        let (begin, _) = database.position()?;
        let child = self.start(database, program, &script, clients, time)?;
        thread::sleep(connecting(clients));
        let before = (Cpu::of_family(database.pid()?), database.position()?.0);
        // The processes of its connections end with it, so they are read just before.
        thread::sleep(time.saturating_sub(Duration::from_millis(200)));
        let after = (Cpu::of_family(database.pid()?), database.position()?.0);
        let output = wait(child, time + Duration::from_secs(60))?;
        let (end, _) = database.position()?;
        let _ = fs::remove_file(&script);
        let number = |before| number(&output, before).with_context(|| output.clone());
        let requests = number("actually processed: ")?;
        let wal = (end - begin) as f64 / requests;
        // How many there were between the readings is known from the log alone.
        let between = (after.1 - before.1).max(1) as f64 / wal;
        Ok(Round {
            requests: requests as u64,
            rate: number("tps = ")?,
            p50: number("latency average = ")? * 1e3,
            postgres_cpu: after.0.since(&before.0).as_secs_f64() * 1e6 / between,
            wal,
            ..Round::default()
        })
    }

    fn start(
        self,
        database: &Database,
        program: &Path,
        script: &Path,
        clients: usize,
        time: Duration,
    ) -> Result<Child> {
        let mut pgbench = Command::new(program);
        pgbench.args(["-n", "-M", "prepared", "-h", "127.0.0.1", "-U", "postgres"]);
        pgbench.args(["-p", &database.port().to_string()]);
        pgbench.args([
            "-c",
            &clients.to_string(),
            "-j",
            &clients.min(2).to_string(),
        ]);
        let seconds = (connecting(clients) + time).as_secs_f64().ceil();
        pgbench.args(["-T", &seconds.to_string()]);
        pgbench.arg("-f").arg(script).arg(self.name);
        pgbench.stdin(Stdio::null()).stdout(Stdio::piped());
        let child = pgbench.stderr(Stdio::piped()).spawn();
        child.with_context(|| format!("cannot run {}", program.display()))
    }
}

/// How long it may take to connect, which is part of the time that pgbench is given.
fn connecting(clients: usize) -> Duration {
    Duration::from_millis(500 + 5 * clients as u64)
}

/// Waits for the end, but not for ever.
fn wait(mut child: Child, bound: Duration) -> Result<String> {
    let end = Instant::now() + bound;
    while child.try_wait()?.is_none() {
        if Instant::now() > end {
            child.kill()?;
            child.wait()?;
            bail!("pgbench did not end");
        }
        thread::sleep(Duration::from_millis(10));
    }
    let output = child.wait_with_output()?;
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        let first = errors.lines().next().unwrap_or_default();
        bail!("pgbench failed: {}: {first}", output.status);
    }
    Ok(String::from_utf8(output.stdout)?)
}

fn number(text: &str, before: &str) -> Option<f64> {
    let (_, rest) = text.split_once(before)?;
    let end = rest.find(|next: char| !next.is_ascii_digit() && next != '.');
    rest[..end.unwrap_or(rest.len())].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_in_the_output() {
        let text = "number of transactions actually processed: 123\n\
                    latency average = 10.500 ms\ntps = 5960.1 (without initial connection time)\n";
        assert_eq!(number(text, "tps = "), Some(5960.1));
        assert_eq!(number(text, "actually processed: "), Some(123.0));
        assert_eq!(number(text, "latency average = "), Some(10.5));
        assert_eq!(number(text, "nothing "), None);
    }
}
