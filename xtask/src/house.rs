//! Rules of the house that no other tool checks.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Result, bail};

use crate::step::root;

const LONGEST_FILE: usize = 400;

/// What must not be in any source.
const FORBIDDEN: [&str; 4] = ["#[ignore", "#[should_panic", "TODO", "FIXME"];

/// Checks the sizes of files and what must not be in them.
pub(crate) fn check() -> Result<()> {
    let mut wrong = Vec::new();
    for folder in ["benches", "crates", "examples", "tests", "xtask"] {
        for file in sources(&root().join(folder)) {
            check_file(&file, &mut wrong)?;
        }
    }
    check_claims(&mut wrong)?;
    if !wrong.is_empty() {
        bail!("{}", wrong.join("\n"));
    }
    Ok(())
}

/// Checks that every test that the guarantees name is there.
fn check_claims(wrong: &mut Vec<String>) -> Result<()> {
    let mut code = String::new();
    for folder in ["crates", "tests"] {
        for file in sources(&root().join(folder)) {
            code.push_str(&fs::read_to_string(file)?);
        }
    }
    let claims = fs::read_to_string(root().join("docs").join("guarantees.md"))?;
    for test in names_of_tests(&claims) {
        if !code.contains(&format!("fn {test}(")) && !code.contains(&format!("fn {test}<")) {
            wrong.push(format!("docs/guarantees.md names {test}, which is no test"));
        }
    }
    Ok(())
}

/// Returns what stands between backticks and looks like a test: words joined by underscores.
fn names_of_tests(text: &str) -> impl Iterator<Item = &str> {
    let is_name = |name: &&str| {
        name.matches('_').count() >= 2
            && name
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
    };
    text.split('`').skip(1).step_by(2).filter(is_name)
}

fn check_file(file: &Path, wrong: &mut Vec<String>) -> Result<()> {
    let text = fs::read_to_string(file)?;
    let shown = file.display();
    // Unit tests at the end of a file do not count, nor do files of tests.
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    let lines = code.lines().count();
    let is_test = file.components().any(|part| part.as_os_str() == "it");
    if lines > LONGEST_FILE && !is_test {
        wrong.push(format!(
            "{shown} has {lines} lines; {LONGEST_FILE} are the most"
        ));
    }
    if file.ends_with("xtask/src/house.rs") {
        return Ok(());
    }
    for word in FORBIDDEN {
        if text.contains(word) {
            wrong.push(format!("{shown} has {word:?}"));
        }
    }
    if text.contains("```ignore") {
        wrong.push(format!("{shown} has an example that is not compiled"));
    }
    let name = file.file_name().unwrap_or_default();
    if ["utils.rs", "common.rs", "helpers.rs", "types.rs"]
        .iter()
        .any(|vague| name == *vague)
    {
        wrong.push(format!("{shown}: name the file by what is in it"));
    }
    Ok(())
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files = Vec::new();
    for path in entries.map(|entry| entry.path()) {
        if path.is_dir() && !path.is_symlink() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_are_told_from_other_words_in_backticks() {
        let text = "shown by `a_test_that_shows`, not by `derive_key` or `Some::thing_else_here`";
        let names: Vec<_> = names_of_tests(text).collect();
        assert_eq!(names, ["a_test_that_shows"]);
    }
}
