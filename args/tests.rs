use super::*;

fn command(line: &str) -> Result<Command, clap::Error> {
    parse(line.split(' ').map(Into::into))
}

fn mount(line: &str) -> Args {
    match command(line) {
        Ok(Command::Mount(args)) => args,
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn the_argument_vectors_of_mount_fuse_are_understood() {
    let args = mount("cgview /mnt/x -o rw,dev,suid");
    assert_eq!((args.source, args.mountpoint), (None, "/mnt/x".into()));
    let args = mount("cgview /sys/fs/cgroup/unified /mnt/x -o rw,dev,suid");
    assert_eq!(args.source, Some("/sys/fs/cgroup/unified".into()));
    mount("cgview SRC /mnt/x -o ro,allow_other,dev,suid");
    mount("cgview SRC /mnt/x -o rw,noatime,nodev,nosuid,relatime,noexec");
    mount("cgview SRC /mnt/x -o noexec,nosuid,nodev,user,x-systemd.automount,_netdev");
}

#[test]
fn the_source_that_proc_mounts_shows_means_the_default() {
    assert_eq!(mount("cgview cgview /mnt/x -o ro").source, None);
}

#[test]
fn values_are_read() {
    let args = mount("cgview /mnt/x -f -o max_links=7,ro,max_snapshot_mib=2");
    assert_eq!(args.max_links.get(), 7);
    assert_eq!(args.max_snapshot_bytes, 2 << 20);
    assert!(args.foreground);
}

#[test]
fn builtin_views_are_chosen_by_name() {
    let names = |line: &str| -> Vec<&str> {
        let builtin = mount(line).builtin.into_iter();
        builtin.map(|(name, _)| name).collect()
    };
    assert_eq!(names("cgview /mnt/x"), ["stats", "vmscan"]);
    assert_eq!(names("cgview /mnt/x -o builtin=vmscan"), ["vmscan"]);
    assert_eq!(names("cgview /mnt/x -o builtin=vmscan:stats,ro").len(), 2);
    assert!(names("cgview /mnt/x -o builtin=").is_empty());
}

#[test]
fn an_unknown_option_is_refused_by_name() {
    for line in [
        "cgview /mnt/x -o bogus",
        "cgview /mnt/x -o max_links=0",
        "cgview /mnt/x -o max_links",
        "cgview /mnt/x -o rw,viws=/x",
        "cgview /mnt/x -o builtin",
        "cgview /mnt/x -o builtin=stats:bogus",
    ] {
        let error = command(line).expect_err(line).to_string();
        let option = line.rsplit([' ', ',']).next().expect("an option");
        let name = option.split('=').next().expect("a name");
        assert!(error.contains(name), "{line}: {error}");
    }
}

#[test]
fn the_option_remount_makes_it_a_remount() {
    let line = "cgview /mnt/x -o rw,nosuid,remount,user_id=0,default_permissions";
    assert!(matches!(command(line), Ok(Command::Remount { .. })));
    let line = "cgview /mnt/x -o ro,remount,max_links=3";
    let error = command(line).expect_err(line).to_string();
    assert!(error.contains("max_links=3"), "{error}");
}

#[test]
fn a_mountpoint_is_needed() {
    assert!(command("cgview").is_err());
    assert!(command("cgview a b c").is_err());
}
