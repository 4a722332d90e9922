//! The fingerprint as a value that is stored and compared.

use http::header;

use super::{Request, canonical, plain};
use crate::fingerprint::{Fingerprint, FingerprintPolicy};

#[test]
fn stored_form_is_the_version_and_the_digest() {
    let fingerprint = Request::new("/", "").fingerprint(&plain());
    let bytes = fingerprint.to_bytes();
    assert_eq!(bytes[0], Fingerprint::VERSION);
    assert_eq!(fingerprint.version(), Fingerprint::VERSION);
    assert_eq!(Fingerprint::from_bytes(&bytes), Some(fingerprint));
    assert_eq!(Fingerprint::from_bytes(&bytes[1..]), None);
    assert_eq!(Fingerprint::from_bytes(&[&bytes[..], &[0]].concat()), None);
    assert_eq!(Fingerprint::from_bytes(&[]), None);
}

#[test]
fn off_matches_everything() {
    let some = Request::new("/", "").fingerprint(&plain());
    let off = Request::new("/", "").fingerprint(&plain().off());
    assert_eq!(off, Fingerprint::OFF);
    assert_eq!(off.version(), 0);
    assert!(off.matches(&some));
    assert!(some.matches(&off));
    assert!(off.matches(&off));
}

#[test]
fn every_stored_form_of_version_0_is_off() {
    let mut bytes = [9; Fingerprint::BYTES];
    bytes[0] = 0;
    assert_eq!(Fingerprint::from_bytes(&bytes), Some(Fingerprint::OFF));
}

#[test]
fn different_versions_match() {
    let current = Request::new("/", "").fingerprint(&plain());
    let mut bytes = current.to_bytes();
    bytes[0] += 1;
    bytes[7] ^= 1;
    let newer = Fingerprint::from_bytes(&bytes).unwrap();
    assert_ne!(newer, current);
    assert!(newer.matches(&current));
    assert!(current.matches(&newer));
}

#[test]
fn one_version_matches_an_equal_digest_only() {
    let current = Request::new("/", "").fingerprint(&plain());
    let mut bytes = current.to_bytes();
    bytes[Fingerprint::BYTES - 1] ^= 1;
    let other = Fingerprint::from_bytes(&bytes).unwrap();
    assert!(current.matches(&current));
    assert!(!other.matches(&current));
}

#[test]
fn debug_shows_the_version_and_eight_digits() {
    let fingerprint = Fingerprint::from_bytes(&[0xab; Fingerprint::BYTES]).unwrap();
    assert_eq!(format!("{fingerprint:?}"), "Fingerprint(v171, abababab)");
}

/// The digests were computed by another program from the description of the
/// encoding. If this test fails, stored fingerprints are no longer comparable:
/// raise `Fingerprint::VERSION`.
#[test]
fn encoding_of_this_version_is_fixed() {
    let request = Request::new("/payments?notify=1", r#"{"b":2,"a":[1,"x"]}"#)
        .header(header::CONTENT_TYPE, "application/json");
    let digest = |policy: FingerprintPolicy| hex(&request.fingerprint(&policy).to_bytes()[1..]);

    assert_eq!(
        digest(plain()),
        "856726a1e8eb08c88159742f295b10550bef3cacc7bc72413620221eba7c6b07"
    );
    assert_eq!(
        digest(plain().secret("secret")),
        "d4c996662ba630a573e8de6a5ad330ee343d1e06c44f659114042f0a9398bb63"
    );
    let reordered = canonical()
        .without_query()
        .exclude_json(["/a/0"])
        .unwrap()
        .header(header::ACCEPT);
    assert_eq!(
        digest(reordered),
        "ea19e3d689cef67eb814c2c73069b29ed4d0bc00007989bd6e3f896505cefdac"
    );
}

#[test]
fn encoding_of_absent_values_and_unread_bodies_is_fixed() {
    let policy = plain().include_json(["/b", "/c"]).unwrap();
    let digest = |body| {
        let request = Request::new("/payments?notify=1", body)
            .header(header::CONTENT_TYPE, "application/json");
        hex(&request.fingerprint(&policy).to_bytes()[1..])
    };
    assert_eq!(
        digest(r#"{"b":2,"a":[1,"x"]}"#),
        "dba391d5b2abaf137af43ed844a976c6134a73f7a418f058c9c92c473a3295fe"
    );
    assert_eq!(
        digest(r#"{"b":"#),
        "f9b38eed99f61de3231320b1022eade50302591f81fc05bc8d44d2f2a8065d13"
    );
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
