use tower_idempotency_testkit::ManualClock;

use super::*;

const OLD: [u8; 32] = [1; 32];
const NEW: [u8; 32] = [2; 32];
const HOUR: Duration = Duration::from_secs(3600);

fn keys(purpose: &str, secret: [u8; 32]) -> (SignedKeys, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new());
    let keys = SignedKeys::new(purpose, secret).unwrap();
    (keys.clock(Arc::clone(&clock) as Arc<dyn Clock>), clock)
}

#[test]
fn a_key_is_valid_until_its_expiry_and_expired_from_then_on() {
    let (keys, clock) = keys("invites", OLD);
    let issued = keys.issue(HOUR);
    assert_eq!(issued.expires_at, clock.now() + HOUR);
    clock.advance(HOUR - Duration::from_nanos(1));
    let remaining = Some(Duration::from_nanos(1));
    assert_eq!(keys.verify(&issued.key), KeyStanding::Valid { remaining });
    clock.advance(Duration::from_nanos(1));
    assert_eq!(keys.verify(&issued.key), KeyStanding::Expired);
}

#[test]
fn a_life_is_rounded_up_to_a_second_and_bounded() {
    let (keys, clock) = keys("invites", OLD);
    let short = keys.issue(Duration::from_nanos(1));
    assert_eq!(short.expires_at, clock.now() + Duration::from_secs(1));
    let long = keys.issue(Duration::MAX);
    assert!(matches!(keys.verify(&long.key), KeyStanding::Valid { .. }));
}

#[test]
fn no_character_of_a_key_can_be_changed() {
    let (keys, _) = keys("invites", OLD);
    let key = keys.issue(HOUR).key;
    assert_eq!(key.as_str().len(), 76);
    for index in 0..76 {
        for other in [b'A', b'B', b'-', b'='] {
            let mut text = key.as_str().as_bytes().to_vec();
            if std::mem::replace(&mut text[index], other) == other {
                continue;
            }
            let text = String::from_utf8(text).unwrap();
            let tampered = IdempotencyKey::new(text).unwrap();
            assert_eq!(keys.verify(&tampered), KeyStanding::Unknown, "{index}");
        }
    }
    for text in ["x", &key.as_str()[..75], &format!("{}A", key.as_str())] {
        let other = IdempotencyKey::new(text).unwrap();
        assert_eq!(keys.verify(&other), KeyStanding::Unknown);
    }
}

#[test]
fn a_key_for_another_purpose_or_of_another_secret_is_unknown() {
    let (invites, _) = keys("invites", OLD);
    let key = invites.issue(HOUR).key;
    for (purpose, secret) in [("coupons", OLD), ("invites", NEW)] {
        let (other, _) = keys(purpose, secret);
        assert_eq!(other.verify(&key), KeyStanding::Unknown);
    }
}

#[test]
fn keys_of_an_accepted_secret_stay_valid() {
    let (old, _) = keys("invites", OLD);
    let (new, _) = keys("invites", NEW);
    let key = old.issue(HOUR).key;
    let both = new.accept(OLD).unwrap();
    assert!(matches!(both.verify(&key), KeyStanding::Valid { .. }));
    // New keys are signed with the new secret.
    assert_eq!(old.verify(&both.issue(HOUR).key), KeyStanding::Unknown);
}

#[test]
fn keys_differ_and_debug_output_shows_no_secret() {
    let (keys, _) = keys("invites", *b"0123456789abcdef0123456789abcdef");
    assert_ne!(keys.issue(HOUR).key, keys.issue(HOUR).key);
    let shown = format!("{keys:?} {:?}", keys.issue(HOUR));
    assert!(!shown.contains("0123456789"), "{shown}");
    assert!(!shown.contains(keys.issue(HOUR).key.as_str()), "{shown}");
}

#[test]
fn a_short_secret_and_an_empty_purpose_are_refused() {
    let error = SignedKeys::new("invites", [0; 31]).unwrap_err();
    assert_eq!(error.setting(), "signed_keys.secret");
    assert_eq!(error.value(), "31 bytes");
    let error = SignedKeys::new("", OLD).unwrap_err();
    assert_eq!(error.setting(), "signed_keys.purpose");
    let keys = SignedKeys::new("invites", OLD).unwrap();
    assert!(keys.accept("short").is_err());
}
