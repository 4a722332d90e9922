//! Short runs, so that the programs stay whole; long ones are started by hand and by night.

use std::process::Command;

/// Runs the program and returns its exit code and its last line.
fn chaos(arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_chaos"))
        .args(arguments)
        .output()
        .expect("the program runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    show(&text);
    let last = text.lines().last().unwrap_or_default().to_owned();
    (output.status.code(), last)
}

/// Reads the figure behind `name` in a last line.
fn figure(line: &str, name: &str) -> u64 {
    let mut words = line.split_whitespace();
    words.find(|word| *word == name);
    let number = words.next().and_then(|number| number.parse().ok());
    number.expect("the last line has every figure")
}

#[expect(clippy::print_stdout, reason = "whoever reads a failed test needs it")]
fn show(text: &str) {
    println!("{text}");
}

#[test]
fn five_seconds_of_chaos_on_sqlite_break_nothing() {
    let (code, line) = chaos(&["--seconds", "5", "--store", "sqlite", "--seed", "1"]);
    assert_eq!(code, Some(0), "{line}");
    assert!(line.starts_with("chaos leased sqlite: "), "{line}");
    assert!(line.ends_with(" violations 0"), "{line}");
    // Without these the run would prove nothing.
    for name in ["requests", "kills", "replays", "effects"] {
        assert!(figure(&line, name) > 0, "{name} in {line}");
    }
}

#[test]
fn a_run_that_cannot_begin_says_so() {
    // No guard of this store can be switched off.
    let store = ["--seconds", "1", "--store", "sqlite"];
    let (code, line) = chaos(&[&store[..], &["--sabotage", "complete-fence"]].concat());
    assert_eq!(code, Some(2), "{line}");
}
