//! What must hold in every state, and what must be seen in some.

mod always;
mod sometimes;

use stateright::Property;

use crate::{Mode, Protocol};

/// At most one live lease for each key, by the store's clock.
pub const ONE_LIVE_LEASE: &str = "G1: at most one live lease";
/// The first response that is kept is the one that is replayed, until it expires.
pub const FIRST_RESPONSE_STAYS: &str = "G2: a kept response does not change";
/// A renewal, completion or release with a token that is not the present one changes nothing.
pub const STALE_CHANGES_NOTHING: &str = "G3: a stale statement changes nothing";
/// And whoever sent it is told so.
pub const STALE_IS_TOLD: &str = "G3: a stale statement is told that it is";
/// When time has passed, a retry of any key is given the key or a response.
pub const NO_KEY_IS_STUCK: &str = "G5: every claim ends";
/// A claim that is sent again, since its acknowledgement was lost, does not wait for itself.
pub const NO_CLAIM_WAITS_FOR_ITSELF: &str = "G5: no claim waits for itself";
/// A key whose completion was stored is not given out again before it expires.
pub const COMPLETED_IS_NOT_FREED: &str = "G7: a completed key is not free to run";
/// A key whose handler ended and asked for completion stays its worker's while the lease lasts.
pub const WAITING_IS_NOT_FREED: &str = "G7: a key that waits for its completion is not free to run";
/// Effects and completed records are there together: none of both, or one.
pub const EFFECT_AND_RECORD: &str = "G8: effects = completed records = 0 or 1";
/// A claim takes no other request's place, unless that one failed or expired.
pub const ANOTHER_REQUEST_IS_REFUSED: &str = "a claim takes no other request's place";

pub(crate) fn of(mode: Mode) -> Vec<Property<Protocol>> {
    let mut properties = always::of_all_modes();
    match mode {
        Mode::Leased => properties.extend(sometimes::leased()),
        Mode::Fenced => {
            properties.push(always::effect_and_record());
            properties.extend(sometimes::fenced());
        }
        Mode::Transactional => {
            properties.push(always::effect_and_record());
            properties.extend(sometimes::transactional());
        }
    }
    properties
}
