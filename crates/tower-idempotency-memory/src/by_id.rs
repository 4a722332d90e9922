//! The records by their identity.

use std::{
    collections::{
        HashMap,
        hash_map::{Entry, RandomState},
    },
    hash::{Hash, Hasher},
    iter,
};

use tower_idempotency_core::RecordId;

use crate::record::Kept;

/// One map for each first byte of an identity.
const MAPS: usize = 256;

/// An empty map gives its room back if it is for more records than this.
const KEPT_ROOM: usize = 64;

/// The records, in many maps rather than one: a map that grows moves all that it holds, and whoever
/// needs the lock waits meanwhile. Identities are digests, so the maps fill evenly.
///
/// The maps are in the order of the identities, so only the records of one map have to be sorted to
/// list them all in order.
///
/// The records are boxed: a map moves its values about.
#[derive(Debug)]
pub(crate) struct ById {
    maps: Box<[Map]>,
    len: usize,
}

/// With the hash of the standard library, which has a secret: an identity is a digest, but clients
/// know what it is made of, and could search for keys that all fall into one place.
type Map = HashMap<Hashed, Box<Kept>, RandomState>;

/// An identity of which eight bytes are hashed: as many as a hash has.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Hashed(RecordId);

impl Hash for Hashed {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let [.., a, b, c, d, e, f, g, h] = *self.0.as_bytes();
        state.write_u64(u64::from_ne_bytes([a, b, c, d, e, f, g, h]));
    }
}

impl Default for ById {
    fn default() -> Self {
        let hasher = RandomState::new();
        let map = || Map::with_hasher(hasher.clone());
        Self {
            maps: iter::repeat_with(map).take(MAPS).collect(),
            len: 0,
        }
    }
}

impl ById {
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn get(&self, id: &RecordId) -> Option<&Kept> {
        self.maps[place(id)]
            .get(&Hashed(*id))
            .map(|record| &**record)
    }

    pub(crate) fn get_mut(&mut self, id: &RecordId) -> Option<&mut Kept> {
        self.maps[place(id)]
            .get_mut(&Hashed(*id))
            .map(|record| &mut **record)
    }

    /// Puts a record in its place, and returns the one that was there.
    pub(crate) fn insert(&mut self, record: Box<Kept>) -> Option<Box<Kept>> {
        let id = record.info.id;
        match self.maps[place(&id)].entry(Hashed(id)) {
            Entry::Occupied(mut there) => Some(there.insert(record)),
            Entry::Vacant(free) => {
                free.insert(record);
                self.len += 1;
                None
            }
        }
    }

    pub(crate) fn remove(&mut self, id: &RecordId) -> Option<Box<Kept>> {
        let map = &mut self.maps[place(id)];
        let record = map.remove(&Hashed(*id))?;
        self.len -= 1;
        if map.is_empty() && map.capacity() > KEPT_ROOM {
            map.shrink_to_fit();
        }
        Some(record)
    }

    /// Returns the records behind `after`, in the order of their identities.
    pub(crate) fn behind(&self, after: Option<RecordId>) -> impl Iterator<Item = &Kept> {
        let first = after.as_ref().map_or(0, place);
        self.maps[first..].iter().flat_map(move |map| {
            let records = map.values().map(|record| &**record);
            let mut behind: Vec<_> = records
                .filter(|kept| after.is_none_or(|after| kept.info.id > after))
                .collect();
            behind.sort_unstable_by_key(|kept| kept.info.id);
            behind
        })
    }
}

fn place(id: &RecordId) -> usize {
    usize::from(id.as_bytes()[0])
}
