//! Bytes on a TCP connection, for what an HTTP client would refuse to send.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// The bound of every read.
const BOUND: Duration = Duration::from_secs(10);

/// Sends `bytes` and returns everything that comes back until the server closes.
///
/// Ask for `Connection: close`, or the server waits for the next request.
///
/// # Panics
///
/// If the server neither closes nor is done in time.
pub async fn exchange(addr: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut connection = Connection::open(addr).await;
    connection.send(bytes).await;
    connection.read_to_end().await
}

/// Puts a POST together, as alice, with a length and `Connection: close`.
///
/// `head` is put in as it is: whole lines, each with its CRLF.
#[must_use]
pub fn post(path: &str, head: &[u8], body: &[u8]) -> Vec<u8> {
    post_as("alice", path, head, body)
}

/// As [`post`], as another caller.
#[must_use]
pub fn post_as(caller: &str, path: &str, head: &[u8], body: &[u8]) -> Vec<u8> {
    let mut request = format!(
        "POST {path} HTTP/1.1\r\nHost: fixture.example\r\nAuthorization: Bearer {caller}\r\n\
         Connection: close\r\nContent-Length: {}\r\n",
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(head);
    request.extend_from_slice(b"\r\n");
    request.extend_from_slice(body);
    request
}

/// A bare connection.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    /// Bytes that were read behind the last answer.
    rest: Vec<u8>,
}

impl Connection {
    /// Connects.
    ///
    /// # Panics
    ///
    /// If nobody listens.
    pub async fn open(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect(addr).await.expect("the server listens");
        stream.set_nodelay(true).expect("the socket is open");
        Self {
            stream,
            rest: Vec::new(),
        }
    }

    /// Sends bytes. A connection that the server has closed meanwhile is no failure.
    pub async fn send(&mut self, bytes: &[u8]) {
        let _ = self.try_send(bytes).await;
    }

    /// Sends bytes.
    ///
    /// # Errors
    ///
    /// If the connection is closed.
    pub async fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }

    /// Says that nothing more will be sent (FIN), and goes on reading.
    pub async fn half_close(&mut self) {
        let _ = self.stream.shutdown().await;
    }

    /// Closes with RST, as a crashed client's machine does.
    ///
    /// # Panics
    ///
    /// If the socket refuses.
    pub fn reset(self) {
        self.stream.set_zero_linger().expect("the socket is open");
    }

    /// Closes with FIN.
    pub fn close(self) {
        drop(self.stream);
    }

    /// Reads until the server closes.
    ///
    /// # Panics
    ///
    /// If it does not in time.
    pub async fn read_to_end(&mut self) -> Vec<u8> {
        let mut read = std::mem::take(&mut self.rest);
        while self.read_more(&mut read).await > 0 {}
        read
    }

    /// Reads one answer, interim ones left out, and leaves what follows for the next call.
    /// `None` if the server has closed instead.
    ///
    /// # Panics
    ///
    /// If it does not come in time.
    pub async fn read_answer(&mut self) -> Option<Answer> {
        let mut read = std::mem::take(&mut self.rest);
        loop {
            if let Some((answer, length)) = Answer::parse(&read, false) {
                self.rest = read.split_off(length);
                return Some(answer);
            }
            if self.read_more(&mut read).await == 0 {
                return Answer::parse(&read, true).map(|(answer, _)| answer);
            }
        }
    }

    /// Reads until `pattern` has come, and returns everything up to it.
    ///
    /// # Panics
    ///
    /// If it does not come in time, or the server closes.
    pub async fn read_until(&mut self, pattern: &[u8]) -> Vec<u8> {
        let mut read = std::mem::take(&mut self.rest);
        loop {
            if let Some(at) = find(&read, pattern) {
                self.rest = read.split_off(at + pattern.len());
                return read;
            }
            assert_ne!(self.read_more(&mut read).await, 0, "the server has closed");
        }
    }

    async fn read_more(&mut self, read: &mut Vec<u8>) -> usize {
        timeout(BOUND, self.stream.read_buf(read))
            .await
            .expect("the server answers in time")
            // A reset is an end, too.
            .unwrap_or(0)
    }
}

/// An answer, as far as it can be told from its bytes.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The header lines: names in lower case, values as they came.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body, decoded from chunks.
    pub body: Vec<u8>,
}

impl Answer {
    /// Reads all final answers in `bytes`; a body without a length goes to the end.
    #[must_use]
    pub fn all(bytes: &[u8]) -> Vec<Self> {
        let mut rest = bytes;
        let mut answers = Vec::new();
        while let Some((answer, length)) = Self::parse(rest, true) {
            answers.push(answer);
            rest = &rest[length..];
        }
        answers
    }

    /// Returns the value of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        let found = self.headers.iter().find(|(each, _)| each == name);
        found.map(|(_, value)| value.as_slice())
    }

    /// Returns the code of a problem document; empty if the body is none.
    #[must_use]
    pub fn code(&self) -> String {
        let document: serde_json::Value = serde_json::from_slice(&self.body).unwrap_or_default();
        document["code"].as_str().unwrap_or_default().to_owned()
    }

    /// Reads the first final answer, and returns it with the number of bytes up to its end.
    fn parse(bytes: &[u8], is_all: bool) -> Option<(Self, usize)> {
        let end = find(bytes, b"\r\n\r\n")? + 4;
        let mut lines = bytes[..end - 4].split(|byte| *byte == b'\n');
        let status = std::str::from_utf8(lines.next()?).ok()?;
        let status: u16 = status.split(' ').nth(1)?.parse().ok()?;
        if (100..200).contains(&status) && status != 101 {
            let (answer, length) = Self::parse(&bytes[end..], is_all)?;
            return Some((answer, end + length));
        }
        let headers: Vec<_> = lines.filter_map(header_line).collect();
        let mut answer = Self {
            status,
            headers,
            body: Vec::new(),
        };
        let length = answer.take_body(&bytes[end..], is_all)?;
        Some((answer, end + length))
    }

    /// Takes the body from `bytes` and returns its length there.
    fn take_body(&mut self, bytes: &[u8], is_all: bool) -> Option<usize> {
        if [101, 204, 304].contains(&self.status) {
            return Some(0);
        }
        if self.header("transfer-encoding").is_some() {
            let (body, length) = unchunk(bytes)?;
            self.body = body;
            return Some(length);
        }
        let announced = self.header("content-length").map(<[u8]>::to_vec);
        let length = match announced {
            Some(length) => std::str::from_utf8(&length).ok()?.parse().ok()?,
            None if is_all => bytes.len(),
            None => return None,
        };
        self.body = bytes.get(..length)?.to_vec();
        Some(length)
    }
}

fn header_line(line: &[u8]) -> Option<(String, Vec<u8>)> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let name = String::from_utf8_lossy(&line[..colon]).to_ascii_lowercase();
    Some((name, line[colon + 1..].trim_ascii().to_vec()))
}

fn unchunk(bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
    let mut body = Vec::new();
    let mut at = 0;
    loop {
        let line = find(&bytes[at..], b"\r\n")?;
        let size = std::str::from_utf8(&bytes[at..at + line]).ok()?;
        let size = usize::from_str_radix(size.split(';').next()?.trim(), 16).ok()?;
        at += line + 2;
        if size == 0 {
            let end = find(&bytes[at - 2..], b"\r\n\r\n")?;
            return Some((body, at - 2 + end + 4));
        }
        body.extend_from_slice(bytes.get(at..at + size)?);
        at += size + 2;
        if bytes.len() < at {
            return None;
        }
    }
}

fn find(bytes: &[u8], pattern: &[u8]) -> Option<usize> {
    bytes
        .windows(pattern.len())
        .position(|window| window == pattern)
}
