//! Which of the built-in programs this kernel takes, against what is expected of it, and how much
//! the verifier had to do: the table in the README.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};

use crate::common::{MountedCgview, kernel_has};
use serde_json::Value;

/// Our programs, and what each needs of the kernel.
const PROGRAMS: &[(&str, Needs)] = &[
    ("stats", Needs::Nothing),
    ("cgview_release_shown", Needs::Nothing),
    ("cgview_stats_walk", Needs::Nothing),
    ("cgview_stats_sweep", Needs::Function("bpf_iter_css_new")),
    ("vmscan", Needs::Nothing),
    ("cgview_vmscan_walk", Needs::Nothing),
    ("cgview_vmscan_sweep", Needs::Function("bpf_iter_css_new")),
    ("vmscan_begin", Needs::Nothing),
    ("vmscan_end", Needs::Nothing),
    ("cgview_release_reclaims", Needs::Nothing),
    ("cgview_flush_reclaims", Needs::Fentry),
];

/// What a guest of tests/vm/run is expected to have; other machines are asked.
const EXPECTED: &[(&str, &[(&str, bool)])] = &[
    (
        "6.1",
        &[
            ("cgview_stats_sweep", false),
            ("cgview_vmscan_sweep", false),
            ("cgview_flush_reclaims", true),
        ],
    ),
    (
        "6.12",
        &[
            ("cgview_stats_sweep", true),
            ("cgview_vmscan_sweep", true),
            ("cgview_flush_reclaims", true),
        ],
    ),
    (
        "6.1-hybrid",
        &[
            ("cgview_stats_sweep", false),
            ("cgview_vmscan_sweep", false),
            ("cgview_flush_reclaims", true),
        ],
    ),
    (
        "7.2",
        &[
            ("cgview_stats_sweep", true),
            ("cgview_vmscan_sweep", true),
            ("cgview_flush_reclaims", true),
        ],
    ),
];

#[derive(Clone, Copy)]
enum Needs {
    Nothing,
    /// A function in the kernel's BTF.
    Function(&'static str),
    /// Attaching to functions: kernels without ftrace refuse it.
    Fentry,
}

fn expected(program: &str, needs: Needs) -> bool {
    let kernel = std::env::var("CGVIEW_KERNEL").unwrap_or_default();
    let table = EXPECTED.iter().find(|(name, _)| *name == kernel);
    let listed = table.and_then(|(_, list)| list.iter().find(|(name, _)| *name == program));
    match (listed, needs) {
        (Some((_, live)), _) => *live,
        (None, Needs::Nothing) => true,
        (None, Needs::Function(name)) => kernel_has(name),
        // A kernel in lockdown hides the list and refuses to attach to functions.
        (None, Needs::Fentry) => ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"]
            .map(|tracefs| File::open(format!("{tracefs}/available_filter_functions")))
            .into_iter()
            .flatten()
            .any(|mut list| list.read_exact(&mut [0]).is_ok()),
    }
}

/// Every program of the status file.
fn programs(status: &Value) -> Vec<(&str, &Value)> {
    let objects = status["objects"].as_array().expect("objects");
    let mut found = Vec::new();
    for object in objects {
        for view in object["views"].as_array().expect("views") {
            found.push((view["name"].as_str().expect("name"), view));
            for part in view["parts"].as_array().expect("parts") {
                found.push((part["name"].as_str().expect("name"), part));
            }
        }
        for collector in object["collectors"].as_array().expect("collectors") {
            found.push((collector["name"].as_str().expect("name"), collector));
        }
    }
    found
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn each_builtin_program_is_live_or_has_a_reason() {
    let mount = MountedCgview::with_all_views();
    let text = fs::read(mount.join(".cgview/status.json")).expect("read status.json");
    let status: Value = serde_json::from_slice(&text).expect("JSON");
    let found = programs(&status);
    for (program, needs) in PROGRAMS {
        let (_, is) = found
            .iter()
            .find(|(name, _)| name == program)
            .unwrap_or_else(|| panic!("{program} is not in the status file"));
        let live = is["live"].as_bool().expect("live");
        assert_eq!(live, expected(program, *needs), "{program}: {is}");
        if live {
            assert!(is["verified_insns"].as_u64() > Some(0), "{program}: {is}");
        } else {
            assert!(
                !is["reason"].as_str().unwrap_or_default().is_empty(),
                "{program}: {is}"
            );
        }
        // Past the capture of tests that pass: tests/vm/run makes a table of these lines.
        let result = match live {
            true => is["verified_insns"].to_string(),
            false => format!("unavailable: {}", is["reason"].as_str().unwrap_or_default()),
        };
        let mut stdout = std::io::stdout().lock();
        writeln!(stdout, "insns {program} {}", result.replace('\n', " | ")).expect("print");
    }
    let known: Vec<&str> = PROGRAMS.iter().map(|(name, _)| *name).collect();
    for (name, _) in found {
        assert!(known.contains(&name), "{name} has no expectation here");
    }
}
