//! The syntax of what may follow the String: the parameters of RFC 9651.
//!
//! Their meaning is ignored, but a value with malformed ones is not a
//! structured field, and accepting it would hide a broken client.

use std::str;

/// Whether the bytes are zero or more parameters and nothing else.
pub(super) fn are_well_formed(bytes: &[u8]) -> bool {
    let mut rest = Rest(bytes);
    while rest.eat(b';') {
        rest.eat_while(|byte| byte == b' ');
        if rest.parameter().is_none() {
            return false;
        }
    }
    rest.0.is_empty()
}

/// The bytes that have not been read. Each method consumes what it names, or
/// returns `None` if it is not there.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn parameter(&mut self) -> Option<()> {
        self.name()?;
        // A parameter without a value is the Boolean true.
        if self.eat(b'=') {
            self.bare_item()?;
        }
        Some(())
    }

    fn name(&mut self) -> Option<()> {
        if !matches!(self.next()?, b'a'..=b'z' | b'*') {
            return None;
        }
        self.eat_while(
            |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'.' | b'*'),
        );
        Some(())
    }

    fn bare_item(&mut self) -> Option<()> {
        match self.peek()? {
            b'"' => self.string(),
            b'?' => self.boolean(),
            b':' => self.byte_sequence(),
            b'@' => self.date(),
            b'%' => self.display_string(),
            b'-' | b'0'..=b'9' => self.number().map(drop),
            b'A'..=b'Z' | b'a'..=b'z' | b'*' => self.token(),
            _ => None,
        }
    }

    fn string(&mut self) -> Option<()> {
        self.expect(b'"')?;
        loop {
            match self.next()? {
                b'"' => return Some(()),
                b'\\' => {
                    if !matches!(self.next()?, b'"' | b'\\') {
                        return None;
                    }
                }
                b' '..=b'~' => {}
                _ => return None,
            }
        }
    }

    fn boolean(&mut self) -> Option<()> {
        self.expect(b'?')?;
        matches!(self.next()?, b'0' | b'1').then_some(())
    }

    /// Base64, whose padding may be missing.
    fn byte_sequence(&mut self) -> Option<()> {
        self.expect(b':')?;
        let symbols = self
            .eat_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'))
            .len();
        let padding = self.eat_while(|byte| byte == b'=').len();
        self.expect(b':')?;
        let padding_at_most = match symbols % 4 {
            0 => 0,
            2 => 2,
            3 => 1,
            _ => return None,
        };
        (padding <= padding_at_most).then_some(())
    }

    fn date(&mut self) -> Option<()> {
        self.expect(b'@')?;
        matches!(self.number()?, Number::Integer).then_some(())
    }

    fn number(&mut self) -> Option<Number> {
        self.eat(b'-');
        let whole_digits = self.eat_while(|byte| byte.is_ascii_digit()).len();
        if !self.eat(b'.') {
            return (1..=15).contains(&whole_digits).then_some(Number::Integer);
        }
        let fraction_digits = self.eat_while(|byte| byte.is_ascii_digit()).len();
        let fits = (1..=12).contains(&whole_digits) && (1..=3).contains(&fraction_digits);
        fits.then_some(Number::Decimal)
    }

    fn token(&mut self) -> Option<()> {
        // The first byte was looked at before.
        self.next()?;
        self.eat_while(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:/".contains(&byte));
        Some(())
    }

    fn display_string(&mut self) -> Option<()> {
        self.expect(b'%')?;
        self.expect(b'"')?;
        let mut text = Utf8Check::default();
        loop {
            match self.next()? {
                b'"' => return text.is_complete().then_some(()),
                b'%' => {
                    let high = lower_hex_digit(self.next()?)?;
                    let low = lower_hex_digit(self.next()?)?;
                    text.push(high << 4 | low)?;
                }
                byte @ b' '..=b'~' => text.push(byte)?,
                _ => return None,
            }
        }
    }

    fn peek(&self) -> Option<u8> {
        self.0.first().copied()
    }

    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        self.eat(byte).then_some(())
    }

    fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        if found {
            self.next();
        }
        found
    }

    fn eat_while(&mut self, wanted: impl Fn(u8) -> bool) -> &'a [u8] {
        let end = self.0.iter().position(|byte| !wanted(*byte));
        let (eaten, rest) = self.0.split_at(end.unwrap_or(self.0.len()));
        self.0 = rest;
        eaten
    }
}

enum Number {
    Integer,
    Decimal,
}

fn lower_hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

/// Checks UTF-8 byte by byte, so that the decoded text need not be kept.
#[derive(Default)]
struct Utf8Check {
    unfinished: [u8; 4],
    len: usize,
}

impl Utf8Check {
    fn push(&mut self, byte: u8) -> Option<()> {
        *self.unfinished.get_mut(self.len)? = byte;
        self.len += 1;
        match str::from_utf8(&self.unfinished[..self.len]) {
            Ok(_) => self.len = 0,
            Err(error) if error.error_len().is_none() => {}
            Err(_) => return None,
        }
        Some(())
    }

    fn is_complete(&self) -> bool {
        self.len == 0
    }
}
