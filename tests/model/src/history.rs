//! What happened to a key, as far as the properties ask.

use crate::state::Token;

/// What happened to a key; the protocol itself never looks at it.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct History {
    /// The leases that were given out and have not ended, by the store's clock or by their owners.
    pub(crate) live: Tokens,
    /// The execution whose completion was the first, until the record expires.
    pub(crate) completed_by: Option<Token>,
    /// The effects since the key was last absent. More than two are counted as two.
    pub(crate) effects: u8,
    pub(crate) wrong: Wrongs,
}

/// A set of tokens.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct Tokens(u16);

/// What must never happen, and shows in a step rather than in a state.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct Wrongs(u8);

#[derive(Clone, Copy, Debug)]
#[repr(u8)]
pub(crate) enum Wrong {
    /// A statement with a token that is not the present one changed the record.
    StaleChanged = 1,
    /// Such a statement was told that it had been carried out.
    StaleAccepted = 2,
    /// A claim with the present token was told to wait for itself.
    WaitedForItself = 4,
    /// A key was given out though its completion was stored and had not expired.
    FreedAfterCompletion = 8,
    /// A claim took the place of a record that belonged to another request.
    TookAnothersPlace = 16,
}

impl History {
    /// A lease on the key begins.
    pub(crate) fn grant(&mut self, token: Token) {
        if self.completed_by.is_some() {
            self.wrong.note(Wrong::FreedAfterCompletion);
        }
        self.live.insert(token);
    }

    pub(crate) fn complete(&mut self, token: Token) {
        self.live.remove(token);
        self.completed_by.get_or_insert(token);
    }

    pub(crate) fn effect(&mut self) {
        self.effects = (self.effects + 1).min(2);
    }

    /// The record is gone, or another one takes its place after it expired.
    pub(crate) fn forget(&mut self) {
        self.completed_by = None;
        self.effects = 0;
    }
}

impl Tokens {
    pub(crate) fn insert(&mut self, Token(number): Token) {
        self.0 |= 1 << number;
    }

    pub(crate) fn remove(&mut self, Token(number): Token) {
        self.0 &= !(1 << number);
    }

    pub(crate) fn clear(&mut self) {
        self.0 = 0;
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = Token> {
        (0..16).map(Token).filter(move |&token| self.has(token))
    }

    pub(crate) fn has(self, Token(number): Token) -> bool {
        self.0 & 1 << number != 0
    }

    pub(crate) fn len(self) -> u32 {
        self.0.count_ones()
    }
}

impl FromIterator<Token> for Tokens {
    fn from_iter<I: IntoIterator<Item = Token>>(tokens: I) -> Self {
        let mut set = Self::default();
        tokens.into_iter().for_each(|token| set.insert(token));
        set
    }
}

impl Wrongs {
    pub(crate) fn note(&mut self, wrong: Wrong) {
        self.0 |= wrong as u8;
    }

    pub(crate) fn has(self, wrong: Wrong) -> bool {
        self.0 & wrong as u8 != 0
    }
}
