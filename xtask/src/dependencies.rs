//! Who may depend on what.

use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{
    licence,
    step::{cargo, output, run},
};

/// Packages that the core must not need: runtimes, frameworks, databases.
const NOT_IN_CORE: [&str; 6] = ["axum", "hyper", "sqlx", "tokio", "tower", "tower-service"];

/// Stores and the layer know the core only; besides, who may need whom.
const BESIDE_THE_CORE: [(&str, &str); 3] = [
    ("tower-idempotency-inbox", "tower-idempotency"),
    ("tower-idempotency-postgres", "tower-idempotency-batch"),
    ("tower-idempotency-sqlite", "tower-idempotency-batch"),
];

/// Where dependencies may come from.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

pub(crate) fn metadata() -> Result<Value> {
    let mut command = cargo();
    let text = output(command.args(["metadata", "--format-version", "1", "--locked"]))?;
    Ok(serde_json::from_str(&text)?)
}

/// Checks directions, sources, licences, and that versions are in one place.
pub(crate) fn check() -> Result<()> {
    let metadata = metadata()?;
    let packages = metadata["packages"].as_array().context("packages")?;
    let mut wrong = Vec::new();
    for package in packages {
        if package["source"].is_null() {
            check_member(package, &mut wrong);
        } else {
            check_foreign(package, &mut wrong);
        }
    }
    check_manifests(packages, &mut wrong)?;
    if !wrong.is_empty() {
        bail!("{}", wrong.join("\n"));
    }
    // The same rules for those who have the tool.
    if output(Command::new("cargo-deny").arg("--version")).is_ok() {
        let rules = ["deny", "--offline", "check", "bans", "licenses", "sources"];
        run(cargo().args(rules))?;
    }
    Ok(())
}

fn name(package: &Value) -> &str {
    package["name"].as_str().unwrap_or_default()
}

/// Returns the names of what a package needs when it is used, not when it is tested.
fn needs(package: &Value) -> Vec<&str> {
    let all = package["dependencies"].as_array();
    all.into_iter()
        .flatten()
        .filter(|dependency| dependency["kind"].is_null())
        .map(name)
        .collect()
}

fn check_member(package: &Value, wrong: &mut Vec<String>) {
    let is_published = package["publish"].is_null();
    let package_name = name(package);
    for needed in needs(package) {
        if package_name == "tower-idempotency-core" && NOT_IN_CORE.contains(&needed) {
            wrong.push(format!("the core must not depend on {needed}"));
        }
        let is_ours = needed.starts_with("tower-idempotency")
            || ["fault-proxy", "throwaway-postgres"].contains(&needed);
        let is_allowed =
            needed == "tower-idempotency-core" || BESIDE_THE_CORE.contains(&(package_name, needed));
        if is_published && is_ours && !is_allowed {
            wrong.push(format!("{package_name} must not depend on {needed}"));
        }
    }
}

fn check_foreign(package: &Value, wrong: &mut Vec<String>) {
    let package_name = name(package);
    if package["source"] != REGISTRY {
        wrong.push(format!("{package_name} comes from {}", package["source"]));
    }
    let expression = package["license"].as_str().unwrap_or_default();
    if !licence::is_allowed(expression) {
        wrong.push(format!("{package_name} has the licence {expression:?}"));
    }
}

/// Every member takes versions from the workspace.
fn check_manifests(packages: &[Value], wrong: &mut Vec<String>) -> Result<()> {
    for package in packages
        .iter()
        .filter(|package| package["source"].is_null())
    {
        let path = package["manifest_path"].as_str().context("manifest_path")?;
        let mut in_dependencies = false;
        for line in std::fs::read_to_string(path)?.lines() {
            if line.starts_with('[') {
                in_dependencies = line.contains("dependencies");
            } else if in_dependencies && line.contains('=') && !line.contains("workspace = true") {
                wrong.push(format!("{path}: {line}: use `workspace = true`"));
            }
        }
    }
    Ok(())
}
