//! A body as far as it was read.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

/// The pieces of a body, in their order. Most bodies are one piece, which needs no list.
#[derive(Default)]
pub(super) struct Pieces {
    first: Bytes,
    more: VecDeque<Bytes>,
    length: usize,
}

impl Pieces {
    pub(super) fn push(&mut self, piece: Bytes) {
        self.length += piece.len();
        if self.first.is_empty() {
            self.first = piece;
        } else if !piece.is_empty() {
            self.more.push_back(piece);
        }
    }

    /// Returns how many bytes there are.
    pub(super) const fn length(&self) -> usize {
        self.length
    }

    /// Puts the pieces together; a single one is not copied.
    pub(super) fn joined(self) -> Bytes {
        if self.more.is_empty() {
            return self.first;
        }
        let mut whole = BytesMut::with_capacity(self.length);
        whole.extend_from_slice(&self.first);
        for piece in self.more {
            whole.extend_from_slice(&piece);
        }
        whole.freeze()
    }

    /// Returns the pieces one by one.
    pub(super) fn into_list(self) -> VecDeque<Bytes> {
        let mut list = self.more;
        if !self.first.is_empty() {
            list.push_front(self.first);
        }
        list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(of: &[&'static str]) -> Pieces {
        let mut pieces = Pieces::default();
        for piece in of {
            pieces.push(Bytes::from_static(piece.as_bytes()));
        }
        pieces
    }

    #[test]
    fn pieces_are_joined_in_their_order() {
        let three = ["", "ab", "", "c", "de"];
        assert_eq!(pieces(&three).length(), 5);
        assert_eq!(pieces(&three).joined(), "abcde");
        assert_eq!(pieces(&three).into_list(), ["ab", "c", "de"]);
        assert!(pieces(&["", ""]).into_list().is_empty());
        assert!(pieces(&[]).joined().is_empty());
    }

    #[test]
    fn a_single_piece_is_not_copied() {
        let whole = Bytes::from(vec![7; 64]);
        let mut pieces = Pieces::default();
        pieces.push(whole.clone());
        assert_eq!(pieces.joined().as_ptr(), whole.as_ptr());
    }
}
