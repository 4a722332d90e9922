//! A tree of a JSON document that loses nothing a client could mean.
//!
//! `serde_json::Value` would round large numbers and drop all but the last of
//! several members with one name, so two different requests could look the
//! same. Here a number is its source text, and a document with an ambiguous
//! object is not read at all.

use std::{borrow::Cow, collections::HashSet};

use serde_json::value::RawValue;

use super::JsonPointer;

/// How many arrays and objects may be inside one another. The functions on the
/// tree are recursive, and the document comes from anybody.
pub(super) const MAX_DEPTH: usize = 64;

/// A value of the document. Names and strings are without escapes.
pub(super) enum Node<'a> {
    /// A number, `true`, `false` or `null`: its source text tells which.
    Plain(&'a str),
    String(Cow<'a, str>),
    Array(Vec<Self>),
    Object(Vec<Member<'a>>),
    /// A value that was taken out; see [`Node::remove`].
    Removed,
}

pub(super) struct Member<'a> {
    pub(super) name: Cow<'a, str>,
    pub(super) value: Node<'a>,
}

impl<'a> Node<'a> {
    /// Reads a document. `None` if it is not JSON, if it is nested deeper than
    /// [`MAX_DEPTH`], if an object has two members of one name, or if a string
    /// has an unpaired surrogate and thus no value.
    pub(super) fn read(body: &'a [u8]) -> Option<Self> {
        // One pass without recursion checks the whole grammar. After it the
        // tokens can be told apart by their first byte.
        let valid: &RawValue = serde_json::from_slice(body).ok()?;
        let mut reader = Reader {
            text: valid.get(),
            at: 0,
        };
        reader.value(MAX_DEPTH)
    }

    /// The value that the pointer names, if there is one.
    pub(super) fn at(&mut self, pointer: &JsonPointer) -> Option<&mut Self> {
        pointer.tokens().try_fold(self, Self::child)
    }

    /// Takes the value out that the pointer names, if there is one. Elements
    /// after it keep their index, so that the next pointer means what it says.
    pub(super) fn remove(&mut self, pointer: &JsonPointer) {
        if let Some(value) = self.at(pointer) {
            *value = Self::Removed;
        }
    }

    pub(super) const fn is_removed(&self) -> bool {
        matches!(self, Self::Removed)
    }

    fn child(&mut self, token: &str) -> Option<&mut Self> {
        match self {
            Self::Array(elements) => elements.get_mut(array_index(token)?),
            Self::Object(members) => members
                .iter_mut()
                .find(|member| member.name == token)
                .map(|member| &mut member.value),
            Self::Plain(_) | Self::String(_) | Self::Removed => None,
        }
    }
}

/// RFC 6901 has one spelling of each index: no sign, no leading zero.
fn array_index(token: &str) -> Option<usize> {
    let is_index = match token.as_bytes() {
        [b'0'] => true,
        [b'1'..=b'9', rest @ ..] => rest.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    is_index.then(|| token.parse().ok()).flatten()
}

/// Builds the tree from text that is known to be one valid document.
struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn value(&mut self, depth_left: usize) -> Option<Node<'a>> {
        match self.peek()? {
            b'{' => self.object(depth_left.checked_sub(1)?),
            b'[' => self.array(depth_left.checked_sub(1)?),
            b'"' => self.string().map(Node::String),
            _ => self.plain(),
        }
    }

    fn object(&mut self, depth_left: usize) -> Option<Node<'a>> {
        let mut members = Vec::new();
        self.step();
        while self.peek()? != b'}' {
            let name = self.string()?;
            self.skip(b':');
            let value = self.value(depth_left)?;
            self.skip(b',');
            members.push(Member { name, value });
        }
        self.step();
        has_unique_names(&members).then_some(Node::Object(members))
    }

    fn array(&mut self, depth_left: usize) -> Option<Node<'a>> {
        let mut elements = Vec::new();
        self.step();
        while self.peek()? != b']' {
            elements.push(self.value(depth_left)?);
            self.skip(b',');
        }
        self.step();
        Some(Node::Array(elements))
    }

    fn string(&mut self) -> Option<Cow<'a, str>> {
        let rest = self.text.as_bytes().get(self.at..)?;
        let mut length = 1;
        let mut has_escape = false;
        loop {
            match rest.get(length)? {
                b'"' => break,
                b'\\' => {
                    has_escape = true;
                    length += 2;
                }
                _ => length += 1,
            }
        }
        let source = self.take(length + 1)?;
        if has_escape {
            return serde_json::from_str(source).ok().map(Cow::Owned);
        }
        source.get(1..length).map(Cow::Borrowed)
    }

    fn plain(&mut self) -> Option<Node<'a>> {
        let rest = self.text.as_bytes().get(self.at..)?;
        let ends = |byte: &u8| matches!(byte, b',' | b']' | b'}' | b' ' | b'\t' | b'\n' | b'\r');
        let length = rest.iter().position(ends).unwrap_or(rest.len());
        self.take(length).map(Node::Plain)
    }

    /// The next byte that is not whitespace.
    fn peek(&mut self) -> Option<u8> {
        let rest = self.text.as_bytes().get(self.at..)?;
        let is_space = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
        let spaces = rest.iter().take_while(|byte| is_space(byte)).count();
        self.at += spaces;
        rest.get(spaces).copied()
    }

    const fn step(&mut self) {
        self.at += 1;
    }

    fn skip(&mut self, separator: u8) {
        if self.peek() == Some(separator) {
            self.step();
        }
    }

    fn take(&mut self, length: usize) -> Option<&'a str> {
        let taken = self.text.get(self.at..self.at + length)?;
        self.at += length;
        Some(taken)
    }
}

fn has_unique_names(members: &[Member<'_>]) -> bool {
    // A hash set and not a search: the number of members is the client's.
    let mut names = HashSet::with_capacity(members.len());
    members.iter().all(|member| names.insert(&*member.name))
}
