//! Servers start, survive what tests do to them, and leave nothing behind.

#![expect(clippy::unwrap_used, reason = "a test that meets an error has failed")]

mod pooler;

use std::{
    fs::Permissions,
    io::{BufRead, BufReader},
    net::TcpStream,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use sqlx::{Connection, PgConnection};
use throwaway_postgres::{Binaries, Mode, Server};

pub(crate) fn server() -> Server {
    let cache = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/postgres");
    let binaries = Binaries::find(&cache).expect("run `cargo xtask test`, or set PG_BIN");
    Server::start(&binaries, &std::env::temp_dir()).unwrap()
}

fn answers(server: &Server) -> bool {
    TcpStream::connect(("127.0.0.1", server.port())).is_ok()
}

pub(crate) fn is_running(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.is_ok_and(|stat| !stat.contains(") Z "))
}

fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < end, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_server_can_be_stopped_killed_and_started_again() {
    let server = server();
    assert!(answers(&server));
    server.stop(Mode::Fast).unwrap();
    assert!(!answers(&server));
    server.start_again().unwrap();
    let pid = server.pid().unwrap();
    server.kill().unwrap();
    assert!(!is_running(pid) && !answers(&server));
    server.start_again().unwrap();
    assert!(answers(&server));
    server.stop(Mode::Immediate).unwrap();
    server.start_again().unwrap();
    assert!(answers(&server));
}

#[test]
fn settings_win_over_the_usual_ones() {
    let cache = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/postgres");
    let binaries = Binaries::find(&cache).unwrap();
    let settings = [("fsync", "on"), ("application_name", "it's")];
    let server = Server::start_with(&binaries, &std::env::temp_dir(), &settings).unwrap();
    let shown = runtime().block_on(async {
        let mut client = PgConnection::connect(&server.url()).await.unwrap();
        let sql = "SELECT current_setting('fsync'), reset_val FROM pg_settings \
                   WHERE name = 'application_name'";
        let row: (String, String) = sqlx::query_as(sql).fetch_one(&mut client).await.unwrap();
        row
    });
    assert_eq!(shown, ("on".to_owned(), "it's".to_owned()));
}

#[test]
fn terminated_backends_have_lost_their_clients() {
    let server = server();
    runtime().block_on(async {
        let mut clients = Vec::new();
        for _ in 0..3 {
            clients.push(PgConnection::connect(&server.url()).await.unwrap());
        }
        assert_eq!(server.terminate_backends().unwrap(), 3);
        for client in &mut clients {
            // Whoever asks before the signal is there is answered once more.
            let bound = Instant::now() + Duration::from_secs(20);
            while client.ping().await.is_ok() {
                assert!(Instant::now() < bound, "the session goes on");
            }
        }
    });
    eventually("no backend is left", || {
        server.terminate_backends().unwrap() == 0
    });
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().unwrap()
}

#[test]
fn a_server_whose_process_is_killed_goes_on_by_itself() {
    let server = server();
    let pid = server.pid().unwrap();
    assert!(!server.crash().unwrap(), "it has no client");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.unwrap().block_on(async {
        let mut connection = PgConnection::connect(&server.url()).await.unwrap();
        assert!(server.crash().unwrap());
        assert!(connection.ping().await.is_err());
        let end = Instant::now() + Duration::from_secs(20);
        while PgConnection::connect(&server.url()).await.is_err() {
            assert!(Instant::now() < end, "the server does not come back");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    assert_eq!(server.pid().unwrap(), pid);
}

#[test]
fn a_killed_server_leaves_no_shared_memory() {
    let server = server();
    let pid_file = server.folder().join("data/postmaster.pid");
    let pid_file = std::fs::read_to_string(pid_file).unwrap();
    let segment = pid_file.lines().nth(6).unwrap().split_whitespace().nth(1);
    let segment = segment.unwrap().to_owned();
    assert!(shared_segments().contains(&segment));
    // What it maps lies in its own folder, which is removed in any case.
    let maps = std::fs::read_to_string(format!("/proc/{}/maps", server.pid().unwrap()));
    let maps = maps.unwrap();
    assert!(maps.contains("/data/pg_dynshmem/mmap."), "{maps}");
    assert!(!maps.contains("/dev/shm/PostgreSQL."), "{maps}");
    server.kill().unwrap();
    assert!(!shared_segments().contains(&segment));
}

fn shared_segments() -> Vec<String> {
    let table = std::fs::read_to_string("/proc/sysvipc/shm").unwrap();
    let ids = table
        .lines()
        .skip(1)
        .map(|line| line.split_whitespace().nth(1));
    ids.flatten().map(str::to_owned).collect()
}

#[test]
fn a_dropped_server_leaves_nothing() {
    let server = server();
    let (pid, folder) = (server.pid().unwrap(), server.folder().to_path_buf());
    assert!(is_running(pid) && folder.is_dir());
    // A paused one is no exception.
    server.pause().unwrap();
    drop(server);
    assert!(!is_running(pid) && !folder.exists());
}

#[test]
fn a_killed_owner_leaves_nothing() {
    let (mut owner, held) = owner_in(&std::env::temp_dir());
    for (pid, folder) in &held {
        assert!(is_running(*pid) && folder.is_dir());
    }
    owner.kill().unwrap();
    owner.wait().unwrap();
    for (pid, folder) in &held {
        eventually("the server ends with its owner", || !is_running(*pid));
        eventually("its folder goes", || !folder.exists());
    }
}

#[test]
fn a_temporary_folder_may_be_closed_to_the_servers_user() {
    // As in a clone below /root, or below what `mktemp -d` makes.
    let closed = std::env::temp_dir().join(format!("closed-{}", std::process::id()));
    let inner = closed.join("open");
    std::fs::create_dir_all(&inner).unwrap();
    std::fs::set_permissions(&closed, Permissions::from_mode(0o700)).unwrap();
    let (mut owner, held) = owner_in(&inner);
    assert!(held.iter().all(|(pid, _)| is_running(*pid)));
    owner.kill().unwrap();
    owner.wait().unwrap();
    for (_, folder) in &held {
        eventually("its folder goes", || !folder.exists());
    }
    std::fs::remove_dir_all(&closed).unwrap();
}

/// Another process that holds a server, and a pooler where there is one, and their process ids
/// and folders.
fn owner_in(temporary: &Path) -> (Child, Vec<(u32, PathBuf)>) {
    // The owner takes a pooler that is there, and fetches none.
    let pooler = pooler::program();
    let mut owner = Command::new(env!("CARGO_BIN_EXE_hold-postgres"))
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."))
        .env("TMPDIR", temporary)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(owner.stdout.take().unwrap()).lines();
    let held: Vec<(u32, PathBuf)> = lines
        .take(2)
        .map_while(|line| {
            let line = line.unwrap();
            let (pid, folder) = line.split_once(' ')?;
            Some((pid.parse().unwrap(), folder.into()))
        })
        .collect();
    assert_eq!(held.len(), 1 + usize::from(pooler.is_some()));
    (owner, held)
}
