//! How a JSON body enters the digest.

use super::{
    JsonPointer,
    encoder::Encoder,
    json::{Member, Node},
};

/// What counts of a JSON body.
#[derive(Clone, Debug, Default)]
pub(super) struct JsonOptions {
    /// If not empty, only these values count.
    pub(super) include: Vec<JsonPointer>,
    /// These values do not count.
    pub(super) exclude: Vec<JsonPointer>,
    /// Whether the order of members does not count.
    pub(super) canonical: bool,
}

impl JsonOptions {
    /// Whether there is a reason to read the body as JSON.
    pub(super) const fn is_any(&self) -> bool {
        self.canonical || !self.include.is_empty() || !self.exclude.is_empty()
    }

    pub(super) fn encode(&self, out: &mut Encoder) {
        out.tag(self.canonical.into());
        for pointers in [&self.include, &self.exclude] {
            out.count(pointers.len());
            for pointer in pointers {
                out.bytes(pointer.as_str().as_bytes());
            }
        }
    }

    pub(super) fn encode_document(&self, mut document: Node<'_>, out: &mut Encoder) {
        for pointer in &self.exclude {
            document.remove(pointer);
        }
        if self.include.is_empty() {
            return self.encode_value(&mut document, out);
        }
        // The pointers themselves are digested with the options, so a value
        // needs no name here; an absent one only has to differ from any value.
        for pointer in &self.include {
            match document.at(pointer) {
                Some(value) => self.encode_value(value, out),
                None => out.tag(tag::ABSENT),
            }
        }
    }

    fn encode_value(&self, value: &mut Node<'_>, out: &mut Encoder) {
        match value {
            Node::Removed => out.tag(tag::ABSENT),
            Node::Plain(source) => {
                out.tag(tag::PLAIN);
                out.bytes(source.as_bytes());
            }
            Node::String(text) => {
                out.tag(tag::STRING);
                out.bytes(text.as_bytes());
            }
            Node::Array(elements) => {
                elements.retain(|element| !element.is_removed());
                out.tag(tag::ARRAY);
                out.count(elements.len());
                for element in elements {
                    self.encode_value(element, out);
                }
            }
            Node::Object(members) => self.encode_members(members, out),
        }
    }

    fn encode_members(&self, members: &mut Vec<Member<'_>>, out: &mut Encoder) {
        members.retain(|member| !member.value.is_removed());
        if self.canonical {
            members.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        }
        out.tag(tag::OBJECT);
        out.count(members.len());
        for member in members {
            out.bytes(member.name.as_bytes());
            self.encode_value(&mut member.value, out);
        }
    }
}

mod tag {
    pub(super) const ABSENT: u8 = 0;
    pub(super) const PLAIN: u8 = 1;
    pub(super) const STRING: u8 = 2;
    pub(super) const ARRAY: u8 = 3;
    pub(super) const OBJECT: u8 = 4;
}
