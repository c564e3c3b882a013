//! The command line, as mount(8) and people write it.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::Parser;

use crate::bpf::catalog::ViewDirs;
use crate::bpf::{BUILTIN, Builtin};

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Mount and serve.
    Mount(Args),
    /// Change the flags of a mount that is there.
    Remount {
        /// Where.
        mountpoint: PathBuf,
        /// The options that mount(8) passes.
        options: Vec<String>,
    },
    /// Load the object on standard input: the daemon calls itself so.
    /// With where to pin, where to attach collectors of cgroup types and, where there was one, the
    /// pins of the object before; without any of them only check.
    Load(Vec<PathBuf>),
    /// Say what an object holds and what would become of it here.
    Check {
        /// The object file.
        object: PathBuf,
        /// As JSON.
        json: bool,
    },
}

/// How to mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Args {
    /// The cgroup directory to mirror; found in the mount table when not given.
    pub source: Option<PathBuf>,
    /// Where to mount.
    pub mountpoint: PathBuf,
    /// Stay in the foreground and log to standard error.
    pub foreground: bool,
    /// The view objects that come with the program and are to be loaded.
    pub builtin: Vec<Builtin>,
    /// Where other view objects come from.
    pub view_dirs: ViewDirs,
    /// Whether root may remove views by removing their files.
    pub manage: bool,
    /// Most links that are pinned at a time.
    pub max_links: NonZeroUsize,
    /// Most memory that the bytes of open files may take together.
    pub max_snapshot_bytes: usize,
}

const DEFAULT_MAX_LINKS: NonZeroUsize = NonZeroUsize::new(16_384).expect("not zero");
const DEFAULT_MAX_SNAPSHOT_BYTES: usize = 256 << 20;

const DEFAULT_VIEWS: &str = "/etc/cgview/views.d";
const DEFAULT_PINS: &str = "/sys/fs/bpf/cgview";

const USAGE: &str = "\
cgview [SOURCE] MOUNTPOINT [-f] [-o OPTION[,OPTION]...]
       cgview --check FILE.bpf.o [--json]";

const OPTIONS: &str = "\
Options after -o:
  builtin=[NAME[:NAME...]]
                    only these of the built-in views, or none (all)
  views=DIR[:DIR...]
                    directories with view objects: DIR/X.bpf.o is placed at the root,
                    DIR/system.slice/X.bpf.o at /system.slice (/etc/cgview/views.d if there)
  pins=DIR[:DIR...] directories in bpffs with pinned iter/cgroup programs, placed alike
                    (/sys/fs/bpf/cgview if there)
  manage            root may remove a view by removing its file where it is placed
  max_links=N       most links pinned at a time, about 1 KiB of kernel memory each (16384)
  max_snapshot_mib=N
                    most memory that the bytes of open files take together (256)
  remount           change the flags about access times of a mount that is there
  and the generic ones of mount(8). The mount is always read-only, nosuid, nodev and noexec.";

#[derive(Parser)]
#[command(name = "cgview", version, override_usage = USAGE, after_help = OPTIONS)]
/// Mounts files defined by BPF programs into a mirror of the cgroup hierarchy
struct CommandLine {
    /// The mountpoint, preceded by the cgroup directory to mirror unless that is the root of
    /// cgroup2
    #[arg(value_name = "DIR", num_args = 0..)]
    dirs: Vec<PathBuf>,

    /// Stay in the foreground and log to standard error
    #[arg(short = 'f', long)]
    foreground: bool,

    /// Mount options, separated by commas
    #[arg(short = 'o', value_name = "OPTION", value_delimiter = ',')]
    options: Vec<String>,

    /// Say what the view object FILE.bpf.o holds and whether it would load here, and why not
    #[arg(long, conflicts_with = "options")]
    check: bool,

    /// With --check: answer in JSON
    #[arg(long, requires = "check")]
    json: bool,

    #[arg(long, hide = true, num_args = 0..=3, exclusive = true)]
    load: Option<Vec<PathBuf>>,
}

/// What is wrong with the command line, in one line.
pub fn complaint(error: &clap::Error) -> String {
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}

/// Parses the command line; the error is ready to be printed, as are help and version.
pub fn parse(words: impl IntoIterator<Item = std::ffi::OsString>) -> Result<Command, clap::Error> {
    let line = CommandLine::try_parse_from(words)?;
    if let Some(target) = line.load {
        return Ok(Command::Load(target));
    }
    if line.check {
        return match line.dirs.as_slice() {
            [object] => Ok(Command::Check {
                object: object.clone(),
                json: line.json,
            }),
            _ => Err(refuse("--check takes one object file")),
        };
    }
    let (source, mountpoint) = match line.dirs.as_slice() {
        [mountpoint] => (None, mountpoint.clone()),
        // What /proc/mounts shows of a mount, and so what fstab lines and remounts repeat.
        [source, mountpoint] if source.as_os_str() == "cgview" => (None, mountpoint.clone()),
        [source, mountpoint] => (Some(source.clone()), mountpoint.clone()),
        [] => return Err(refuse("no mountpoint given; see --help")),
        _ => {
            return Err(refuse(
                "more than a source and a mountpoint given; see --help",
            ));
        }
    };
    if line.options.iter().any(|option| option == "remount") {
        for option in line.options.iter().filter(|option| *option != "remount") {
            let name = option.split('=').next().unwrap_or(option);
            if !is_generic(option, name) {
                let why = format!("option {option:?} cannot be changed by a remount");
                return Err(refuse(&why));
            }
        }
        return Ok(Command::Remount {
            mountpoint,
            options: line.options,
        });
    }
    let mut args = Args {
        source,
        mountpoint,
        foreground: line.foreground,
        builtin: BUILTIN.to_vec(),
        view_dirs: ViewDirs::default(),
        manage: false,
        max_links: DEFAULT_MAX_LINKS,
        max_snapshot_bytes: DEFAULT_MAX_SNAPSHOT_BYTES,
    };
    for option in &line.options {
        apply(option, &mut args)?;
    }
    let view_dirs = &mut args.view_dirs;
    for (dirs, default) in [
        (&mut view_dirs.files, DEFAULT_VIEWS),
        (&mut view_dirs.pins, DEFAULT_PINS),
    ] {
        if dirs.is_empty() {
            dirs.push(default.into());
        }
    }
    Ok(Command::Mount(args))
}

fn apply(option: &str, args: &mut Args) -> Result<(), clap::Error> {
    let (name, value) = match option.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (option, None),
    };
    match (name, value) {
        ("max_links", Some(value)) => args.max_links = number(name, value)?,
        ("max_snapshot_mib", Some(value)) => {
            let mib: NonZeroUsize = number(name, value)?;
            args.max_snapshot_bytes = mib.get().saturating_mul(1 << 20);
        }
        ("max_links" | "max_snapshot_mib" | "builtin" | "views" | "pins", None) => {
            return Err(refuse(&format!(
                "option {name} needs a value: -o {name}=VALUE"
            )));
        }
        ("builtin", Some(names)) => args.builtin = builtin(names)?,
        ("views", Some(dirs)) => args.view_dirs.files.extend(directories(name, dirs)?),
        ("pins", Some(dirs)) => args.view_dirs.pins.extend(directories(name, dirs)?),
        ("manage", None) => args.manage = true,
        _ if is_generic(option, name) => {}
        _ => return Err(refuse(&format!("unknown option {option:?}; see --help"))),
    }
    Ok(())
}

/// What mount(8) and mount.fuse pass on to every helper. The mount is what it is: what they ask
/// for beyond that is not needed.
fn is_generic(option: &str, name: &str) -> bool {
    let flag = matches!(
        option,
        "" | "rw"
            | "ro"
            | "dev"
            | "nodev"
            | "suid"
            | "nosuid"
            | "exec"
            | "noexec"
            | "async"
            | "sync"
            | "dirsync"
            | "atime"
            | "noatime"
            | "diratime"
            | "nodiratime"
            | "relatime"
            | "norelatime"
            | "strictatime"
            | "nostrictatime"
            | "lazytime"
            | "nolazytime"
            | "auto"
            | "noauto"
            | "user"
            | "nouser"
            | "users"
            | "group"
            | "owner"
            | "defaults"
            | "nofail"
            | "_netdev"
            | "mand"
            | "nomand"
            | "iversion"
            | "noiversion"
            | "silent"
            | "loud"
            | "allow_other"
            | "default_permissions"
    );
    flag || matches!(name, "user_id" | "group_id" | "rootmode" | "comment")
        || name.starts_with("x-")
        || name.starts_with("X-")
}

/// The built-in objects with these names, which are separated by colons.
fn builtin(list: &str) -> Result<Vec<Builtin>, clap::Error> {
    let names: Vec<&str> = list.split(':').filter(|name| !name.is_empty()).collect();
    let known: Vec<&str> = BUILTIN.iter().map(|(name, _)| *name).collect();
    if let Some(name) = names.iter().find(|name| !known.contains(name)) {
        let known = known.join(", ");
        return Err(refuse(&format!(
            "option builtin: there is no built-in view {name:?} ({known})"
        )));
    }
    let wanted = BUILTIN.iter().filter(|(name, _)| names.contains(name));
    Ok(wanted.copied().collect())
}

/// Directories separated by colons; they have to be there, which defaults need not.
fn directories(name: &str, list: &str) -> Result<Vec<PathBuf>, clap::Error> {
    let dirs: Vec<PathBuf> = list
        .split(':')
        .filter(|dir| !dir.is_empty())
        .map(Into::into)
        .collect();
    match dirs.iter().find(|dir| !dir.is_dir()) {
        None => Ok(dirs),
        Some(dir) => Err(refuse(&format!(
            "option {name}: {} is not a directory",
            dir.display()
        ))),
    }
}

fn number(name: &str, value: &str) -> Result<NonZeroUsize, clap::Error> {
    value
        .parse()
        .map_err(|_| refuse(&format!("option {name}: {value:?} is not a number above 0")))
}

fn refuse(why: &str) -> clap::Error {
    clap::Error::raw(clap::error::ErrorKind::ValueValidation, format!("{why}\n"))
}

#[cfg(test)]
mod tests {
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
    fn a_remount_is_told_from_a_mount() {
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
}
