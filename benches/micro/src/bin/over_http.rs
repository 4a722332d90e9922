//! What a request costs a server over HTTP: processor time, and latency at one connection.
//!
//! The server is a process of its own, whose processor time is read from `/proc` (so on Linux
//! only); the load generator's is not in it. The paths take turns, and medians are shown:
//! `over-http [ROUNDS] [CONNECTIONS]`.

#![expect(clippy::print_stdout, reason = "the table is what the program is for")]

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use micro_benchmarks::{App, Path};

const PATHS: [Path; 6] = [
    Path::Bare,
    Path::Unkeyed,
    Path::UnkeyedForAxum,
    Path::Fresh,
    Path::FreshAwaiting,
    Path::Replay,
];
const REQUESTS: u64 = 20_000;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let first = arguments.next();
    if first.as_deref() == Some("serve") {
        return serve();
    }
    let rounds = first.map_or(Ok(9), |rounds| rounds.parse())?;
    let connections = arguments.next().map_or(Ok(32), |number| number.parse())?;
    println!(
        "{:<20} {:>14} {:>16}",
        "path", "server us/req", "p50 us, 1 conn"
    );
    let mut server = Server::start()?;
    let mut measured = PATHS.map(|path| (path, Vec::new(), Vec::new()));
    for round in 0..=rounds {
        for (path, costs, latencies) in &mut measured {
            let cost = server.cost(*path, connections)?;
            let latency = server.load(*path, REQUESTS / 10)?;
            // The first round warms the server up.
            if round > 0 {
                costs.push(cost);
                latencies.push(latency);
            }
        }
    }
    for (path, costs, latencies) in &mut measured {
        let (cost, latency) = (median(costs), median(latencies));
        println!("{:<20} {cost:>14.2} {latency:>16.1}", path.name());
    }
    Ok(())
}

fn serve() -> Result<()> {
    let app = App::new()?.into_server();
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .worker_threads(2)
        .build()?;
    listener.set_nonblocking(true)?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        axum::serve(listener, app).await
    })?;
    Ok(())
}

/// A server in a process of its own.
struct Server {
    process: Child,
    address: SocketAddr,
    /// The next new key.
    next: u64,
}

impl Server {
    fn start() -> Result<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .arg("serve")
            .stdout(Stdio::piped())
            .spawn()?;
        let output = process.stdout.take().context("the server's output")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        let address = line.trim().parse()?;
        Ok(Self {
            process,
            address,
            next: 0,
        })
    }

    /// Returns the microseconds of processor time that a request takes the server.
    fn cost(&mut self, path: Path, connections: u64) -> Result<f64> {
        let before = self.processor_time()?;
        let each = REQUESTS / connections;
        thread::scope(|scope| {
            let clients: Vec<_> = (0..connections)
                .map(|_| {
                    let first = self.keys(each);
                    let address = self.address;
                    scope.spawn(move || send(address, path, first, each).map(|_| ()))
                })
                .collect();
            clients
                .into_iter()
                .try_for_each(|client| client.join().expect("a client does not panic"))
        })?;
        let spent = self.processor_time()?.saturating_sub(before);
        Ok(spent.as_secs_f64() * 1e6 / (each * connections) as f64)
    }

    /// Returns the median latency in microseconds at one connection.
    fn load(&mut self, path: Path, requests: u64) -> Result<f64> {
        let first = self.keys(requests);
        let mut latencies = send(self.address, path, first, requests)?;
        Ok(median(&mut latencies))
    }

    fn keys(&mut self, number: u64) -> u64 {
        self.next += number;
        self.next - number
    }

    fn processor_time(&self) -> Result<Duration> {
        let mut spent = 0;
        for thread in fs::read_dir(format!("/proc/{}/task", self.process.id()))? {
            let text = fs::read_to_string(thread?.path().join("schedstat"))?;
            let time = text.split(' ').next().context("schedstat")?;
            spent += time.parse::<u64>()?;
        }
        Ok(Duration::from_nanos(spent))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let ended = self.process.kill().and_then(|()| self.process.wait());
        ended.expect("the server can be ended");
    }
}

/// Sends one request after the other and returns the latencies in microseconds.
fn send(address: SocketAddr, path: Path, first: u64, requests: u64) -> Result<Vec<f64>> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let mut answer = [0; 4096];
    let mut latencies = Vec::new();
    for number in first..first + requests {
        let request = path.to_http(number);
        let begun = Instant::now();
        stream.write_all(request.as_bytes())?;
        let mut length = 0;
        while !is_whole(&answer[..length]) {
            let read = stream.read(&mut answer[length..])?;
            anyhow::ensure!(read > 0, "the server hung up");
            length += read;
        }
        latencies.push(begun.elapsed().as_secs_f64() * 1e6);
        anyhow::ensure!(answer.starts_with(b"HTTP/1.1 201"), "not a 201");
    }
    Ok(latencies)
}

/// Tells whether the head and its 200 bytes of body are there.
fn is_whole(answer: &[u8]) -> bool {
    let head = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n");
    head.is_some_and(|head| answer.len() >= head + 4 + 200)
}

fn median(numbers: &mut [f64]) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or_default()
}
