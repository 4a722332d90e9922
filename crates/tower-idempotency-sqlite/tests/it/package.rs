//! The published package holds its SQL.

use std::process::Command;

#[test]
fn the_package_holds_the_migrations() {
    let listed = Command::new(env!("CARGO"))
        .args(["package", "--list", "--allow-dirty", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let files = String::from_utf8(listed.stdout).unwrap();
    let name = "migrations/0001_create_idempotency_keys.sql";
    assert!(files.lines().any(|file| file == name), "{files}");
}
