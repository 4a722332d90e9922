use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    thread,
};

use http::Method;

use crate::Request;

/// A running example.
#[derive(Debug)]
pub struct Server {
    process: Child,
    addr: SocketAddr,
}

impl Server {
    /// Starts a program on a free port, and waits until it listens.
    ///
    /// # Panics
    ///
    /// If it does not say `listening on http://<address>`.
    pub fn start<A: AsRef<str>>(program: &str, arguments: impl IntoIterator<Item = A>) -> Self {
        let mut command = Command::new(program);
        command.args(["--listen", "127.0.0.1:0"]);
        for argument in arguments {
            command.arg(argument.as_ref());
        }
        let mut process = command
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program can be started");
        let stdout = process.stdout.take().expect("its output is piped");
        let mut lines = BufReader::new(stdout).lines().map_while(Result::ok);
        let addr = lines.find_map(|line| {
            let (_, addr) = line.split_once("listening on http://")?;
            addr.parse().ok()
        });
        // A program that cannot print dies of it.
        thread::spawn(move || lines.for_each(drop));
        Self {
            process,
            addr: addr.expect("the program says where it listens"),
        }
    }

    /// Begins a request.
    pub fn request(&self, method: Method, path: &str) -> Request {
        Request::new(self.addr, method, path)
    }

    /// Begins a POST.
    pub fn post(&self, path: &str) -> Request {
        self.request(Method::POST, path)
    }

    /// Begins a GET.
    pub fn get(&self, path: &str) -> Request {
        self.request(Method::GET, path)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
