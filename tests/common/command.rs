//! Programs that a test calls.

use std::ffi::OsStr;
use std::process::{Command, Output, Stdio};

/// Runs a command to its end.
pub fn run<A: AsRef<OsStr>>(program: &str, arguments: impl IntoIterator<Item = A>) -> Output {
    Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("run {program}: {error}; tests/run.sh installs it"))
}

/// Runs a shell command, which has to succeed; gives its standard output.
pub fn sh(script: &str) -> Vec<u8> {
    let output = run("bash", ["-c", script]);
    assert!(
        output.status.success(),
        "{script}: {}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

/// The options of setpriv(1) for the user nobody.
pub const NOBODY: &[&str] = &["--reuid=65534", "--regid=65534", "--clear-groups"];

/// Runs a bash script as the user nobody; `$1`... are the arguments.
pub fn as_nobody(script: &str, arguments: &[&OsStr]) -> Output {
    with_privileges(NOBODY, script, arguments)
}

/// Runs a bash script with the privileges that these options of setpriv(1) leave.
pub fn with_privileges(options: &[&str], script: &str, arguments: &[&OsStr]) -> Output {
    let bash = ["bash", "-c", script, "bash"];
    let words = options.iter().chain(&bash).map(OsStr::new);
    run("setpriv", words.chain(arguments.iter().copied()))
}
