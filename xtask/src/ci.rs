//! `cargo xtask ci`.

use std::{fs, time::Instant};

use anyhow::{Result, bail};

use crate::{
    browser, chaos, dependencies, features, house,
    step::{cargo, root, run, step},
    test,
};

/// The newest major version of Postgres, which the store's suites run on as well.
const NEWEST_POSTGRES: u32 = 18;

/// Runs every check, in the order of what fails soonest.
pub(crate) fn run_checks() -> Result<()> {
    let begun = Instant::now();
    step("format", || run(cargo().args(["fmt", "--all", "--check"])))?;
    step("house rules", house::check)?;
    step("dependency rules", dependencies::check)?;
    step("clippy", || {
        let mut clippy = cargo();
        clippy.args(["clippy", "--workspace", "--all-targets", "--all-features"]);
        run(clippy.args(["--locked", "--", "-D", "warnings"]))
    })?;
    step("documentation", || {
        let mut doc = cargo();
        doc.args([
            "doc",
            "--workspace",
            "--no-deps",
            "--all-features",
            "--locked",
        ]);
        run(doc.env("RUSTDOCFLAGS", "-D warnings"))
    })?;
    step("feature combinations", features::check)?;
    step("all tests", || test::run(&test::Options::default()))?;
    let skipped = step("browser", || browser::check(browser::Examples::AreBuilt))?;
    step("the Postgres suites on the newest version", || {
        let packages = ["tower-idempotency-postgres", "blackbox"];
        test::run(&test::Options::on_postgres(NEWEST_POSTGRES, &packages))
    })?;
    chaos::check()?;
    step("nothing is left running", nothing_is_left)?;
    let what = if skipped.is_some() {
        "the rest"
    } else {
        "everything"
    };
    println!("{what} passed in {:.0} s", begun.elapsed().as_secs_f64());
    // Last of all, where it is read.
    skipped.iter().for_each(browser::Skipped::announce);
    Ok(())
}

/// Looks for processes that were started from the build folder or on its servers' data.
fn nothing_is_left() -> Result<()> {
    let target = root().join("target");
    let target = target.to_string_lossy();
    let this = std::process::id().to_string();
    let mut left = Vec::new();
    for entry in fs::read_dir("/proc")?.flatten() {
        let pid = entry.file_name().to_string_lossy().into_owned();
        if pid == this || !pid.bytes().all(|byte| byte.is_ascii_digit()) {
            continue;
        }
        let line = fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default();
        let line = line.replace('\0', " ");
        // Servers have their data there, fixtures their program; other checkouts do not matter.
        if line.contains(&*target) && !line.contains("xtask") {
            left.push(format!("{pid}: {line}"));
        }
    }
    if !left.is_empty() {
        bail!("processes are left:\n{}", left.join("\n"));
    }
    Ok(())
}
