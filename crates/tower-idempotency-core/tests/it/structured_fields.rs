//! The strict syntax against an independent parser of RFC 9651.
//!
//! Strict accepts exactly when the other parser reads an Item that is a String
//! of 1 to 255 bytes and not blank, and both read the same text.

use sfv::{BareItem, Item, Parser};
use tower_idempotency_core::{KeySyntax, MAX_KEY_BYTES, parse_header};

use crate::header_table::rows;

fn expected(value: &[u8]) -> Option<String> {
    let item: Item = Parser::new(value).parse().ok()?;
    let BareItem::String(text) = item.bare_item else {
        return None;
    };
    let text = String::from(text);
    let is_blank = text.bytes().all(|byte| byte == b' ');
    (text.len() <= MAX_KEY_BYTES && !is_blank).then_some(text)
}

fn read(value: &[u8]) -> Option<String> {
    let key = parse_header(value, KeySyntax::Strict).ok()?;
    Some(key.as_str().into())
}

#[test]
fn strict_syntax_agrees_on_every_known_value() {
    for row in rows() {
        assert_eq!(expected(&row.value), row.strict, "row {}", row.number);
        assert_eq!(read(&row.value), row.strict, "row {}", row.number);
    }
}

#[test]
fn lenient_syntax_reads_what_strict_reads_and_some_tokens_more() {
    for row in rows() {
        if let Some(strict) = &row.strict {
            assert_eq!(row.lenient.as_ref(), Some(strict), "row {}", row.number);
        }
        let lenient = parse_header(&row.value, KeySyntax::Lenient).ok();
        let lenient = lenient.map(|key| key.as_str().into());
        assert_eq!(lenient, row.lenient, "row {}", row.number);
    }
}

#[test]
fn strict_syntax_agrees_on_random_bytes() {
    let mut random = Random::new(9651);
    for _ in 0..5_000 {
        let value: Vec<u8> = (0..random.below(12)).map(|_| random.byte()).collect();
        assert_eq!(read(&value), expected(&value), "{}", value.escape_ascii());
    }
}

#[test]
fn strict_syntax_agrees_on_random_sentences_of_the_grammar() {
    let mut random = Random::new(8941);
    let mut accepted = 0;
    for _ in 0..20_000 {
        let value = sentence(&mut random, &[b"\"", b" \""], &[b"\"", b"\";", b"\"; a"]);
        let key = read(&value);
        accepted += usize::from(key.is_some());
        assert_eq!(key, expected(&value), "{}", value.escape_ascii());
    }
    // Without many of both, the comparison would show little.
    assert!((1_000..19_000).contains(&accepted), "{accepted} accepted");
}

#[test]
fn strict_syntax_agrees_on_random_parameters() {
    let mut random = Random::new(9457);
    let mut accepted = 0;
    for _ in 0..20_000 {
        let openings: [&[u8]; 6] = [
            b"\"k\";a=",
            b"\"k\";a=:",
            b"\"k\";a=%\"",
            b"\"k\";a=%\"%",
            b"\"k\";a=@",
            b"\"k\";a=-",
        ];
        let value = sentence(&mut random, &openings, &[b"", b"1", b":", b"\"", b"=:"]);
        let key = read(&value);
        accepted += usize::from(key.is_some());
        assert_eq!(key, expected(&value), "{}", value.escape_ascii());
    }
    assert!((1_000..19_000).contains(&accepted), "{accepted} accepted");
}

/// An opening, up to four pieces that mean something in the grammar, and an
/// ending.
fn sentence(random: &mut Random, openings: &[&[u8]], endings: &[&[u8]]) -> Vec<u8> {
    const PIECES: &[&[u8]] = &[
        b"a",
        b"Z",
        b"0",
        b"12",
        b"123456789012",
        b".",
        b"-",
        b"*",
        b"_",
        b" ",
        b"\t",
        b"\"",
        b"\\",
        b"\\\"",
        b"\\\\",
        b";",
        b"; ",
        b"=",
        b",",
        b":",
        b"?",
        b"?1",
        b"@",
        b"%",
        b"%c3",
        b"%a9",
        b"%41",
        b"%F0",
        b"%f0%9f",
        b"/",
        b"+",
        b"(",
        b")",
        b"\x7f",
        b"\xc3\xa9",
        b"\0",
        b"~",
        b"==",
    ];
    let mut value = random.choose(openings).to_vec();
    for _ in 0..random.below(5) {
        value.extend_from_slice(random.choose(PIECES));
    }
    value.extend_from_slice(random.choose(endings));
    value
}

/// A linear congruential generator (Knuth's MMIX): the same values in every
/// run, so that a failure can be repeated.
struct Random(u64);

impl Random {
    const fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn byte(&mut self) -> u8 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        // The low bits of such a generator have short periods.
        self.0.to_be_bytes()[0]
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::from(self.byte()) % bound
    }

    fn choose<'a>(&mut self, items: &[&'a [u8]]) -> &'a [u8] {
        items[self.below(items.len())]
    }
}
