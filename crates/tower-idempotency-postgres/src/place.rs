//! Where a record's row is, so that its completion need not look for it.

use std::fmt::{self, Write};

/// The `ctid` of a row, as a claim made it: the number of its page, and its own there.
///
/// Every change of the row gives it another one, and the old one may become another record's. So
/// it is a hint: whoever follows it compares the token, and knows another way.
///
/// It comes as bytes and goes as text, both in types that the driver knows: of `tid` it would have
/// to ask the server first, and behind a pooler that may be another one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Place {
    page: u32,
    row: u16,
}

/// A place in the form of `tidsend`.
type Sent = [u8; 6];

impl Place {
    /// Reads one place.
    pub(crate) fn from_sent(sent: &[u8]) -> Option<Self> {
        sent.try_into().ok().map(Self::read)
    }

    /// Reads several that follow each other.
    pub(crate) fn all_from_sent(sent: &[u8]) -> impl ExactSizeIterator<Item = Self> {
        let (places, _) = sent.as_chunks();
        places.iter().map(|sent| Self::read(*sent))
    }

    /// Writes several as the server writes an array of them.
    pub(crate) fn list(places: impl Iterator<Item = Self>) -> String {
        let mut list = String::from("{");
        for place in places {
            let comma = if list.len() > 1 { "," } else { "" };
            // Writing to a string cannot fail.
            let _ = write!(list, "{comma}\"{place}\"");
        }
        list.push('}');
        list
    }

    const fn read([a, b, c, d, e, f]: Sent) -> Self {
        Self {
            page: u32::from_be_bytes([a, b, c, d]),
            row: u16::from_be_bytes([e, f]),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({},{})", self.page, self.row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_goes_as_the_server_writes_it() {
        let place = Place::from_sent(&[0, 1, 0, 0, 1, 2]).expect("it is whole");
        assert_eq!(place.to_string(), "(65536,258)");
        assert_eq!(Place::from_sent(&[0, 1, 0, 0, 1]), None);
    }

    #[test]
    fn places_come_and_go_in_their_order() {
        let sent = [0, 0, 0, 7, 0, 1, 0, 0, 0, 7, 0, 2];
        let places = Place::all_from_sent(&sent);
        assert_eq!(Place::list(places), r#"{"(7,1)","(7,2)"}"#);
        assert_eq!(Place::list(Place::all_from_sent(&[])), "{}");
    }
}
