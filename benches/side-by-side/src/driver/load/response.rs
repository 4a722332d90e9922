//! As much of HTTP/1.1 as the servers of the benchmarks speak.

use side_by_side::REPLAY_HEADER;

/// The head of a response.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Head {
    pub(crate) status: u16,
    pub(crate) replayed: bool,
    /// How many bytes of body follow.
    pub(crate) body: usize,
    /// How many bytes it takes itself.
    pub(crate) size: usize,
}

/// Reads a head; `None` if it is not all there yet.
pub(crate) fn parse(bytes: &[u8]) -> Option<Head> {
    let mut head = Head {
        status: digits(bytes.get(9..12)?) as u16,
        ..Head::default()
    };
    let mut rest = bytes;
    loop {
        let end = rest.iter().position(|&byte| byte == b'\n')?;
        let line = rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]);
        rest = &rest[end + 1..];
        if line.is_empty() {
            head.size = bytes.len() - rest.len();
            return Some(head);
        }
        if let Some(value) = value(line, b"content-length") {
            head.body = digits(value);
        } else if let Some(value) = value(line, REPLAY_HEADER.as_bytes()) {
            head.replayed = value == b"true";
        }
    }
}

fn value<'l>(line: &'l [u8], name: &[u8]) -> Option<&'l [u8]> {
    let found = line.get(..name.len())?;
    if line.get(name.len()) != Some(&b':') || !found.eq_ignore_ascii_case(name) {
        return None;
    }
    Some(line[name.len() + 1..].trim_ascii())
}

fn digits(text: &[u8]) -> usize {
    let digits = text.iter().filter(|byte| byte.is_ascii_digit());
    digits.fold(0, |number, digit| number * 10 + usize::from(digit - b'0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_when_all_of_it_is_there() {
        let text = b"HTTP/1.1 201 Created\r\nContent-Length: 5\r\n\
                     idempotency-replayed: true\r\n\r\nhello";
        let head = parse(text).unwrap();
        assert_eq!((head.status, head.replayed, head.body), (201, true, 5));
        assert_eq!(&text[head.size..], b"hello");
        for end in 0..head.size {
            assert_eq!(parse(&text[..end]), None);
        }
    }
}
