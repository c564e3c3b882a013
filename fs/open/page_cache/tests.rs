use super::super::memory::{Memory, User};
use super::super::snapshot::Content;
use super::*;

const FILE: INodeNo = INodeNo(7);
const A: Caller = Caller(10);
const B: Caller = Caller(11);

struct Bench {
    cache: PageCache,
    memory: Memory,
    next: u64,
}

impl Bench {
    fn new() -> Bench {
        Bench {
            cache: PageCache::new(NonZeroUsize::MIN),
            memory: Memory::new(1 << 20),
            next: 0,
        }
    }

    fn snapshot(&self, length: usize) -> Arc<Snapshot> {
        let bytes = vec![b'x'; length];
        let reserved = self.memory.reserve_for(User::ROOT);
        self.memory.snapshot(bytes, reserved).expect("room")
    }

    /// Attributes first, then open, as the kernel does for a program.
    fn open(&mut self, by: Caller) -> Open {
        self.cache.announce_size(FILE, 4096, by);
        assert!(self.cache.open(FILE, 10, by));
        self.next += 1;
        Open {
            file: FILE,
            handle: FileHandle(self.next),
            since: Instant::now(),
        }
    }

    fn close(&self, open: Open) {
        self.cache.close(FILE, open.handle);
    }
}

#[test]
fn open_files_may_fill_one_after_the_other() {
    let mut bench = Bench::new();
    for by in [A, A, B] {
        let open = bench.open(by);
        assert!(bench.cache.fill(open, &bench.snapshot(10), by).is_some());
        assert!(bench.cache.filled_by(open).is_some());
        bench.close(open);
    }
}

#[test]
fn a_filler_that_stays_open_is_revoked_when_the_file_is_opened_again() {
    let mut bench = Bench::new();
    let first = bench.open(A);
    assert!(bench.cache.fill(first, &bench.snapshot(10), A).is_some());
    let soon = bench.open(B);
    assert!(bench.cache.filled_by(first).is_some());
    for in_use in bench.cache.files.lock().open.values_mut() {
        in_use.filler.as_mut().expect("a filler").since -= MAX_FILL_TIME * 2;
    }
    let late = bench.open(B);
    assert!(bench.cache.filled_by(first).is_none());
    // Only who was open before may have got a part of what it had put there.
    assert!(bench.cache.filled_by_another(soon).is_some());
    assert!(bench.cache.filled_by_another(late).is_none());
    // As long as it is open, it and the others would get parts of each other's bytes, and of NULs.
    assert!(bench.cache.fill(first, &bench.snapshot(10), A).is_none());
    assert!(bench.cache.fill(late, &bench.snapshot(10), B).is_none());
    assert_eq!(bench.cache.announce_size(FILE, 4096, B), 10);
    bench.close(first);
    let last = bench.open(B);
    assert!(bench.cache.fill(last, &bench.snapshot(10), B).is_some());
}

#[test]
fn what_only_some_may_see_never_fills() {
    let mut bench = Bench::new();
    let open = bench.open(A);
    let content = Content {
        bytes: vec![b'x'; 10],
        restricted: true,
    };
    let snapshot = bench
        .memory
        .snapshot(content, bench.memory.reserve_for(User::ROOT))
        .expect("room");
    assert!(bench.cache.fill(open, &snapshot, A).is_none());
    assert!(bench.cache.filled_by(open).is_none());
}

#[test]
fn reads_of_one_open_file_at_a_time_agree_on_one_run() {
    let mut bench = Bench::new();
    let a = bench.open(A);
    for length in [10, 11] {
        let filling = bench.cache.fill(a, &bench.snapshot(length), A);
        assert_eq!(filling.map(|snapshot| snapshot.len()), Some(10));
    }
}

#[test]
fn while_one_open_file_fills_no_other_may() {
    let mut bench = Bench::new();
    let a = bench.open(A);
    assert!(bench.cache.fill(a, &bench.snapshot(10), A).is_some());
    let b = bench.open(B);
    assert!(bench.cache.fill(b, &bench.snapshot(10), B).is_none());
    assert_eq!(bench.cache.filled_by_another(b).map(|s| s.len()), Some(10));
    assert!(bench.cache.filled_by_another(a).is_none());
}

#[test]
fn a_closed_fillers_snapshot_counts_for_files_that_were_open_then() {
    let mut bench = Bench::new();
    let a = bench.open(A);
    let b = bench.open(B);
    assert!(bench.cache.fill(a, &bench.snapshot(10), A).is_some());
    bench.close(a);
    let c = bench.open(A);
    assert!(bench.cache.fill(b, &bench.snapshot(10), B).is_none());
    assert_eq!(bench.cache.filled_by_another(b).map(|s| s.len()), Some(10));
    assert!(bench.cache.filled_by_another(c).is_none());
    assert!(bench.cache.fill(c, &bench.snapshot(11), A).is_some());
}

#[test]
fn the_size_stays_while_somebody_fills() {
    let mut bench = Bench::new();
    let a = bench.open(A);
    assert_eq!(bench.cache.announce_size(FILE, 4096, A), 4096);
    assert!(bench.cache.fill(a, &bench.snapshot(10), A).is_some());
    assert_eq!(bench.cache.announce_size(FILE, 4096, B), 10);
    bench.close(a);
    assert_eq!(bench.cache.announce_size(FILE, 4096, B), 4096);
}

#[test]
fn while_a_size_is_sent_to_another_caller_no_one_may_fill() {
    let mut bench = Bench::new();
    let a = bench.open(A);
    bench.cache.announce_size(FILE, 4096, B);
    assert!(bench.cache.fill(a, &bench.snapshot(10), A).is_none());
    bench.cache.note_read(FILE, B);
    assert!(bench.cache.fill(a, &bench.snapshot(10), A).is_some());
}

#[test]
fn a_size_sent_to_several_callers_refuses_for_a_while() {
    let mut bench = Bench::new();
    let a = bench.open(A);
    bench.cache.announce_size(FILE, 4096, A);
    bench.cache.announce_size(FILE, 4096, B);
    assert!(bench.cache.fill(a, &bench.snapshot(10), A).is_none());
    std::thread::sleep(MAX_APPLY_TIME + Duration::from_millis(1));
    assert!(bench.cache.fill(a, &bench.snapshot(10), A).is_some());
}

#[test]
fn more_than_the_size_that_the_kernel_has_is_refused() {
    let mut bench = Bench::new();
    let a = bench.open(A);
    assert!(bench.cache.fill(a, &bench.snapshot(4097), A).is_none());
}

#[test]
fn a_caller_that_opens_a_grown_file_is_sent_back_once() {
    let bench = Bench::new();
    assert!(!bench.cache.open(FILE, 1, A));
    bench.cache.announce_size(FILE, 4096, A);
    assert!(bench.cache.open(FILE, 1, A));
    assert!(!bench.cache.open(FILE, 4097, A));
    assert!(bench.cache.open(FILE, 4097, A));
    assert!(!bench.cache.open(FILE, 4097, A));
    assert!(!bench.cache.open(FILE, 4097, B));
    assert!(bench.cache.open(FILE, 4097, A));
    assert!(bench.cache.open(FILE, 4097, B));
}

#[test]
fn nothing_is_kept_of_a_file_that_is_not_open() {
    let mut bench = Bench::new();
    let a = bench.open(A);
    let b = bench.open(B);
    assert!(bench.cache.fill(a, &bench.snapshot(10), A).is_some());
    bench.close(a);
    bench.close(b);
    assert!(bench.cache.files.lock().open.is_empty());
}
