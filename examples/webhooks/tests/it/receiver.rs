//! The example as a process, and a connection to it.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, client::conn::http1::SendRequest};
use hyper_util::rt::TokioIo;
use serde_json::Value;

/// A running receiver, and the `curl` lines that it has printed.
pub(crate) struct Receiver {
    pub(crate) process: Child,
    arguments: Vec<String>,
    pub(crate) address: String,
    pub(crate) curls: Vec<String>,
}

impl Receiver {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_webhooks"))
            .args(["--listen", "127.0.0.1:0", "--first-retry-ms", "50"])
            .args(arguments)
            .env("RUST_LOG", "off")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(process.stdout.take().unwrap());
        let (mut address, mut curls) = (String::new(), Vec::new());
        for line in stdout.lines() {
            let line = line.unwrap();
            if let Some(place) = line.strip_prefix("listening on http://") {
                place.trim_end_matches('/').clone_into(&mut address);
            } else if line.starts_with("curl ") {
                curls.push(line);
            } else if let Some((_, list)) = line.split_once("What was shipped: ") {
                curls.push(list.to_owned());
                break;
            }
        }
        Self {
            process,
            arguments: arguments.iter().map(ToString::to_string).collect(),
            address,
            curls,
        }
    }

    /// Starts another one in its place.
    pub(crate) fn restart(&self) -> Self {
        let arguments: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        Self::start(&arguments)
    }

    /// Runs a printed line in a shell, as a reader would.
    pub(crate) fn paste(&self, line: usize) -> String {
        let output = Command::new("sh")
            .args(["-c", &self.curls[line]])
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    pub(crate) async fn connect(&self) -> Connected {
        let stream = tokio::net::TcpStream::connect(&self.address).await.unwrap();
        let io = TokioIo::new(stream);
        let (sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
        tokio::spawn(connection);
        Connected(sender)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub(crate) struct Connected(SendRequest<Full<Bytes>>);

impl Connected {
    pub(crate) async fn send(
        &mut self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> (u16, Value) {
        self.try_send(method, path, body).await.unwrap()
    }

    /// Fails if the receiver goes away.
    pub(crate) async fn try_send(
        &mut self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> hyper::Result<(u16, Value)> {
        let body = body.map(ToString::to_string).unwrap_or_default();
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "localhost")
            .header("content-type", "application/json")
            .body(Full::from(body))
            .unwrap();
        self.0.ready().await?;
        let response = self.0.send_request(request).await?;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await?.to_bytes();
        let json = serde_json::from_slice(&body);
        let text = || Value::String(String::from_utf8_lossy(&body).into_owned());
        Ok((status, json.unwrap_or_else(|_| text())))
    }
}
