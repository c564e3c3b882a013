//! View objects whose source is dropped in.

use std::fs;

use crate::common::objects::{Placed, is_absent, promptly, says};
use crate::common::{CGVIEW, FixtureDir, read, run};

/// What `cgview` prints with these arguments.
fn printed(arguments: &[&str]) -> String {
    let output = run(CGVIEW, arguments);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {complaint}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn a_source_that_is_dropped_in_is_live_and_its_errors_are_in_the_status() {
    let source = printed(&["--new", "starts"]);
    let placed = Placed::new();
    let path = placed.views.path().join("starts.bpf.c");
    let view = placed.mount.join("starts");
    fs::write(&path, &source).expect("write the source");
    promptly("the view is live", || says(&view, "forks "));
    run("true", [""; 0]);
    promptly("its collector counts", || {
        read(&view).is_ok_and(|text| text != "forks 0\n")
    });

    let line = source.lines().count() + 1;
    fs::write(&path, format!("{source}int x = nothing;\n")).expect("break the source");
    let reason = placed.refusal(&path);
    let place = format!("{}:{line}:9: error: ", path.display());
    assert!(
        reason.contains(&place) && reason.contains("nothing"),
        "{reason}"
    );
    assert!(says(&view, "forks "), "the view from before stays");

    let secret = placed.views.path().join("secret.bpf.c");
    fs::write(&secret, "#include \"/etc/shadow\"\n").expect("write the source");
    let reason = placed.refusal(&secret);
    assert!(reason.contains("Permission denied"), "{reason}");

    fs::remove_file(&path).expect("remove the source");
    promptly("the view is gone", || is_absent(&view));
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn the_compiler_runs_as_nobody_without_network_in_limits() {
    let shown = printed(&[
        "--compile",
        "/bin/sh",
        "-c",
        "id -u; id -G; ls /sys; grep -c : /proc/self/net/dev; ulimit -v; ulimit -c
         grep -E '^(CapPrm|CapEff|NoNewPrivs)' /proc/self/status; ls /proc/self/fd | wc -l
         touch /sys/x 2>/dev/null || echo refused",
    ]);
    let words: Vec<_> = shown.split_whitespace().collect();
    let none = "0000000000000000";
    assert_eq!(
        words[..6],
        ["65534", "65534", "include", "1", "2097152", "0"]
    );
    assert_eq!(
        words[6..12],
        ["CapPrm:", none, "CapEff:", none, "NoNewPrivs:", "1"]
    );
    // The standard streams, and the directory that ls reads.
    assert_eq!(words[12..], ["4", "refused"]);

    let headers = "umask 077; exec \"$0\" --compile /bin/cat /sys/include/cgview/cgview.h";
    let output = run("sh", ["-c", headers, CGVIEW]);
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(shown.contains("#define CGVIEW_H"), "{shown}");
    // Where the compiler's own errors are expected.
    let output = run(CGVIEW, ["--compile", "/no/such"]);
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(
        shown.contains("run /no/such as nobody: No such file"),
        "{shown}"
    );
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn a_source_is_checked_and_compiles_elsewhere_with_the_headers() {
    let dir = FixtureDir::new("author");
    let path = dir.path().join("starts.bpf.c");
    let name = path.to_str().expect("UTF-8");
    fs::write(&path, printed(&["--new", "starts"])).expect("write the source");
    let shown = printed(&["--check", name]);
    assert!(shown.contains("view starts (record)"), "{shown}");

    let include = dir.path().join("include");
    printed(&["--headers", include.to_str().expect("UTF-8")]);
    for header in ["cgview/cgview.h", "bpf/bpf_helpers.h"] {
        assert!(include.join(header).is_file(), "{header}");
    }
    let preprocess = [
        "-target",
        "bpf",
        "-fsyntax-only",
        "-Werror",
        "-nostdinc",
        "-I",
    ];
    let words = preprocess.map(Into::into).into_iter();
    let output = run(
        "clang",
        words.chain([include.into_os_string(), path.clone().into()]),
    );
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaint}");

    fs::write(&path, "int x\n").expect("break the source");
    let script = "cd \"$1\" && exec \"$0\" --check starts.bpf.c";
    let words = [
        "-c".as_ref(),
        script.as_ref(),
        CGVIEW.as_ref(),
        dir.path().as_os_str(),
    ];
    let output = run("sh", words);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(
        complaint.contains(&format!("{name}:1:6: error: ")),
        "{complaint}"
    );
    assert_eq!(output.status.code(), Some(1));
}
