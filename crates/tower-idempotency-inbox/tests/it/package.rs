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
    for database in ["postgres", "sqlite"] {
        let name = format!("migrations/{database}/0001_create_webhook_deliveries.sql");
        assert!(files.lines().any(|file| file == name), "{files}");
    }
}
