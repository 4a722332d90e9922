//! `cargo xtask browser`.

mod apt;
mod chromium;
mod node;

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Error, Result, bail};

use self::node::Node;
use crate::{
    dependencies::metadata,
    step::{cargo, run, step},
    test::temporary_folder,
};

/// The servers that the tests in Chromium need.
const EXAMPLES: [&str; 3] = ["assessments", "forms", "quickstart"];

/// Whether the examples have to be built.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(crate) enum Examples {
    Build,
    /// All tests have just been run, which builds them.
    AreBuilt,
}

/// Why tests were not run.
pub(crate) struct Skipped(String);

impl Skipped {
    /// Says it so that nobody overlooks it.
    pub(crate) fn announce(&self) {
        let line = "!".repeat(100);
        println!("\n{line}\nSKIPPED: browser tests: {}\n{line}", self.0);
        println!("REQUIRE_BROWSER=1 makes this a failure.");
    }
}

/// Tests the browser client, and in Chromium that client and the pages of the examples.
///
/// What it needs and can neither find nor install is no failure unless `REQUIRE_BROWSER` is set; a
/// test that fails is one.
pub(crate) fn check(examples: Examples) -> Result<Option<Skipped>> {
    let temporary = temporary_folder()?;
    let checked = run_all(examples, &temporary);
    let _ = fs::remove_dir_all(&temporary);
    if let Some(Skipped(why)) = &checked.as_ref().ok().and_then(Option::as_ref)
        && is_required()
    {
        bail!("REQUIRE_BROWSER is set, but: {why}");
    }
    checked
}

fn skipped(what: &str, why: &Error) -> Option<Skipped> {
    Some(Skipped(format!("{what}{why:#}").trim_end().to_owned()))
}

fn is_required() -> bool {
    env::var_os("REQUIRE_BROWSER").is_some_and(|value| !value.is_empty() && value != "0")
}

fn run_all(examples: Examples, temporary: &Path) -> Result<Option<Skipped>> {
    let node = match Node::provide(temporary) {
        Ok(node) => node,
        Err(missing) => return Ok(skipped("", &missing)),
    };
    if let Err(error) = step("install what the browser client is tested with", || {
        node.install(temporary)
    }) {
        let said = format!("{error:#}");
        // The registry may be out of reach; a lock file that does not fit is a mistake.
        if ["EUSAGE", "EINTEGRITY"]
            .iter()
            .any(|code| said.contains(code))
        {
            return Err(error);
        }
        return Ok(skipped("", &error));
    }
    for (name, script) in [
        ("types of the browser client", "check"),
        ("tests of the browser client", "test"),
        ("build of the browser client", "build"),
    ] {
        step(name, || Node::run(&mut node.script(script)))?;
    }
    let chromium = match chromium::named(temporary)? {
        Some(named) => named,
        None => match chromium::provide(temporary) {
            Ok(found) => found,
            Err(missing) => return Ok(skipped("only those in Node ran: ", &missing)),
        },
    };
    let programs = programs(examples)?;
    step("tests in Chromium", || {
        let mut tests = node.script("e2e");
        tests.env("CHROMIUM", &chromium).env("EXAMPLES", &programs);
        // Whatever the browser leaves is there, and a process that stays is recognised by it.
        for folder in ["TMPDIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"] {
            tests.env(folder, temporary);
        }
        Node::run(&mut tests)
    })?;
    Ok(None)
}

/// Returns the folder of the examples' programs.
fn programs(examples: Examples) -> Result<PathBuf> {
    let metadata = metadata()?;
    let target = metadata["target_directory"].as_str();
    let folder = Path::new(target.context("target_directory")?).join("debug");
    let are_there = EXAMPLES.iter().all(|name| folder.join(name).is_file());
    if examples == Examples::Build || !are_there {
        step("build the examples", || {
            let packages = EXAMPLES.iter().flat_map(|name| ["-p", name]);
            run(cargo()
                .args(["build", "--quiet", "--locked"])
                .args(packages))
        })?;
    }
    Ok(folder)
}
