//! Objects that were changed at random: no content of a file harms other views or the daemon. Our
//! own loading code neither panics nor hangs; libbpf 1.7 crashes on some (type ids that it does not
//! check), which ends the loader process only.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::objects::{
    PATIENCE, Placed, eventually_says, object, of_origin, say, says, text,
};
use crate::common::{eventually, less_if_emulated, unique};

/// How many mutants are tried: this, and `CGVIEW_MUTANTS` if it is set.
const MUTANTS: u64 = 1000;
/// One on an emulated machine.
const EMULATED: u64 = 20;
/// How many one child tries.
const BATCH: u64 = 500;
/// What a child may take.
const BATCH_TIME: Duration = Duration::from_secs(120);
/// Gives a child its mutants: the first, and the one after the last.
const CHILD: &str = "CGVIEW_MUTANTS_OF_CHILD";

/// Numbers that are random and the same in each run (xorshift64*).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        number as usize % bound
    }
}

/// Where the section headers of an ELF file are, and how many of 64 bytes there are.
fn section_headers(elf: &[u8]) -> (usize, usize) {
    let offset = u64::from_ne_bytes(elf[0x28..0x30].try_into().expect("8 bytes"));
    let count = u16::from_ne_bytes(elf[0x3c..0x3e].try_into().expect("2 bytes"));
    (offset as usize, usize::from(count))
}

/// A good object with one to four changes.
fn mutant(good: &[u8], number: u64) -> Vec<u8> {
    let mut random = Random(number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut bytes = good.to_vec();
    let (headers, sections) = section_headers(good);
    for _ in 0..=random.below(4) {
        let length = bytes.len();
        if length < 64 {
            break;
        }
        // The headers are a small part of the file, and the one that decides.
        let at = match random.below(3) {
            0 => (headers + random.below(sections * 64)).min(length - 8),
            1 => random.below(64),
            _ => random.below(length - 8),
        };
        match random.below(8) {
            0 => bytes.truncate(random.below(length)),
            1 => bytes[at..at + 8].fill(0),
            2 => {
                let extremes = [0, 1, 0x7fff_ffff, 0x8000_0000_u32, 0xffff_ffff];
                let number = extremes[random.below(extremes.len())];
                bytes[at..at + 4].copy_from_slice(&number.to_ne_bytes());
            }
            3 if headers + sections * 64 <= length => {
                let from = headers + random.below(sections) * 64;
                let header = bytes[from..from + 64].to_vec();
                let to = headers + random.below(sections) * 64;
                bytes[to..to + 64].copy_from_slice(&header);
            }
            4 => bytes[at] = random.below(256) as u8,
            _ => bytes[at] ^= 1 << random.below(8),
        }
    }
    bytes
}

fn good_objects() -> [Vec<u8>; 2] {
    [object("stranger", &[]), object("leaky", &[])].map(|path| fs::read(path).expect("read"))
}

/// Loads the mutants of a child, and prints the number of each before.
fn be_child(numbers: &str) {
    let good = good_objects();
    let (first, end) = numbers.split_once('-').expect("two numbers");
    let number = |text: &str| text.parse::<u64>().expect("a number");
    // Not by println, which the test harness keeps.
    let mut stdout = io::stdout();
    for number in number(first)..number(end) {
        writeln!(stdout, "mutant {number}")
            .and_then(|()| stdout.flush())
            .expect("tell");
        let _ = cgview::bpf::load::load(&mutant(&good[number as usize % 2], number), None);
    }
    writeln!(stdout, "done")
        .and_then(|()| stdout.flush())
        .expect("tell");
}

/// How a child ended, and at which mutant if that was before its time.
fn batch(first: u64, end: u64) -> (ExitStatus, Option<u64>) {
    let program = std::env::current_exe().expect("this program");
    let mut child = Command::new(program)
        .args(["--exact", "--ignored", "--nocapture", THE_TEST])
        .env(CHILD, format!("{first}-{end}"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("start a child");
    let mut stdout = child.stdout.take().expect("a pipe");
    let reader = thread::spawn(move || {
        let mut told = String::new();
        stdout
            .read_to_string(&mut told)
            .expect("read from the child");
        told
    });
    let deadline = Instant::now() + BATCH_TIME;
    let status = loop {
        if let Some(status) = child.try_wait().expect("wait for the child") {
            break status;
        }
        if Instant::now() > deadline {
            let _ = child.kill();
        }
        thread::sleep(Duration::from_millis(5));
    };
    let told = reader.join().expect("read from the child");
    let done = told.lines().any(|line| line == "done");
    let last = told
        .lines()
        .filter_map(|line| line.strip_prefix("mutant "))
        .next_back();
    let last = last.map_or(first, |number| number.parse().expect("a number"));
    (status, (!done).then_some(last))
}

const THE_TEST: &str = "mutants::the_loading_code_neither_panics_nor_hangs_on_a_mutant";

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn the_loading_code_neither_panics_nor_hangs_on_a_mutant() {
    if let Ok(numbers) = std::env::var(CHILD) {
        return be_child(&numbers);
    }
    let wanted = std::env::var("CGVIEW_MUTANTS").map(|text| text.parse().expect("a number"));
    let wanted = wanted.unwrap_or(less_if_emulated(MUTANTS, EMULATED));
    let started = Instant::now();
    let (mut crashes, mut findings) = (Vec::new(), Vec::new());
    let mut first = 0;
    while first < wanted {
        let end = (first + BATCH).min(wanted);
        let (status, ended_at) = batch(first, end);
        if let Some(number) = ended_at {
            match status.signal() {
                Some(libc::SIGSEGV | libc::SIGBUS | libc::SIGFPE) => crashes.push(number),
                _ => findings.push(format!("mutant {number}: {status}")),
            }
        }
        first = ended_at.map_or(end, |number| number + 1);
    }
    let took = started.elapsed();
    println!("{wanted} mutants in {took:?}; libbpf crashed on {crashes:?}; {findings:?}");
    assert!(findings.is_empty(), "{findings:#?}");
    survive(&crashes);
}

/// Puts the mutants that crash libbpf in front of a daemon.
fn survive(crashes: &[u64]) {
    let placed = Placed::new();
    placed.put("good", &say("good", "alive"));
    let good = good_objects();
    for number in crashes {
        let file = placed.file(number.to_string());
        let bytes = mutant(&good[*number as usize % 2], *number);
        fs::write(&file, bytes).expect("write");
        let reason = placed.refusal(&file);
        assert!(reason.contains("the loader ended with signal"), "{reason}");
    }
    eventually_says(&placed.mount.join("good"), "alive ");
}

#[test]
#[ignore = "needs root, cgroup2, bpffs and /dev/fuse"]
fn mutants_in_the_views_directory_harm_nothing_else() {
    let mutants = less_if_emulated(500, 10);
    let placed = Placed::new();
    placed.put("good", &say("good", "alive"));
    let view = placed.mount.join("good");
    eventually_says(&view, "alive ");
    let good = good_objects();
    let files: Vec<_> = (0..mutants)
        .map(|number| {
            let file = placed.file(unique("mutant"));
            let bytes = mutant(&good[number % 2], 1_000_000 + number as u64);
            fs::write(&file, bytes).expect("write");
            file
        })
        .collect();
    let mut left = files;
    eventually(PATIENCE * 4, "all mutants are tried", || {
        thread::sleep(Duration::from_millis(100));
        assert!(says(&view, "alive "));
        let status = placed.status();
        left.retain(|file| match of_origin(&status, file) {
            None => true,
            Some(object) => {
                let reason = text(&object["reason"]);
                assert_eq!(object["live"] == true, reason.is_empty(), "{object}");
                false
            }
        });
        left.is_empty()
    });
    placed.put("new", &say("fresh", "new"));
    eventually_says(&placed.mount.join("fresh"), "new ");
}
