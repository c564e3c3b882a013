//! The command line: what users type, and what mount(8), mount.fuse and fstab pass.

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use clap::Parser;
use clap::error::ErrorKind;

use crate::bpf::catalog::ViewDirs;
use crate::bpf::{BUILTIN, Builtin, skeleton};

/// What the command line asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Mount and serve.
    Mount(Args),
    /// Change the flags of a mounted cgview.
    Remount {
        /// The mountpoint.
        mountpoint: PathBuf,
        /// All options after `-o`.
        options: Vec<String>,
    },
    /// Be the loader: load the object on standard input. The daemon runs itself so.
    ///
    /// The paths are the directory for the pins, the cgroup directory at which collectors are
    /// attached, and the pins of the object that this one replaces. Without any, only check.
    Load(Vec<PathBuf>),
    /// Exit with success if the file system that is mounted on this directory answers. A mount runs
    /// this in a process that it need not wait for.
    Probe(PathBuf),
    /// Become the compiler: run this command in its sandbox. The daemon runs itself so.
    Compile(Vec<OsString>),
    /// Write the headers for authors of views to a directory.
    Headers(PathBuf),
    /// Print the source of a first view of this name.
    New(String),
    /// Print what an object holds, and whether it can be used here.
    Check {
        /// The object file.
        object: PathBuf,
        /// Whether to print JSON.
        json: bool,
    },
}

/// The options of a mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Args {
    /// The cgroup directory to mirror. `None` is the root of cgroup2.
    pub source: Option<PathBuf>,
    /// The directory to mount on.
    pub mountpoint: PathBuf,
    /// Whether to stay in the foreground and to log to standard error.
    pub foreground: bool,
    /// The built-in view objects to load.
    pub builtin: Vec<Builtin>,
    /// The directories of all other view objects.
    pub view_dirs: ViewDirs,
    /// Whether root removes a view by removing its file.
    pub manage: bool,
    /// How many links may be pinned at a time.
    pub max_links: NonZeroUsize,
    /// How much memory the snapshots of all open files may take together.
    pub max_snapshot_bytes: usize,
}

const DEFAULT_MAX_LINKS: NonZeroUsize = NonZeroUsize::new(16_384).expect("not zero");
const DEFAULT_MAX_SNAPSHOT_BYTES: usize = 256 << 20;
const DEFAULT_VIEWS: &str = "/etc/cgview/views.d";
const DEFAULT_PINS: &str = "/sys/fs/bpf/cgview";

const USAGE: &str = "\
cgview [SOURCE] MOUNTPOINT [-f] [-o OPTION[,OPTION]...]
       cgview --check FILE [--json]
       cgview --new NAME
       cgview --headers DIR";

const OPTIONS: &str = "\
Options after -o, with their defaults in parentheses:
  builtin=[NAME[:NAME...]]
                    load only these built-in views; builtin= loads none (all)
  views=DIR[:DIR...]
                    directories of view objects, X.bpf.o or X.bpf.c. DIR/X.bpf.o is placed
                    at the root, DIR/system.slice/X.bpf.o at /system.slice
                    (/etc/cgview/views.d)
  pins=DIR[:DIR...] directories of pinned iter/cgroup programs in bpffs, which are placed
                    by the same rule (/sys/fs/bpf/cgview)
  manage            root removes a view by removing its file at its placement
  max_links=N       how many links may be pinned at a time, with about 1 KiB of kernel
                    memory each (16384)
  max_snapshot_mib=N
                    how much memory the contents of all open files may take, in MiB (256)
  remount           change the access time flags of a mounted cgview

The generic options of mount(8) are accepted too. The mount is always nosuid, nodev and
noexec, and it is read-only unless manage is given.";

#[derive(Parser)]
#[command(name = "cgview", version, override_usage = USAGE, after_help = OPTIONS)]
/// Mounts a mirror of the cgroup hierarchy whose files are defined by BPF programs
struct CommandLine {
    /// The cgroup directory to mirror, if it is not the root of cgroup2, and the mountpoint
    #[arg(value_name = "DIR", num_args = 0..)]
    dirs: Vec<PathBuf>,

    /// Stay in the foreground and log to standard error
    #[arg(short = 'f', long)]
    foreground: bool,

    /// Mount options, separated by commas
    #[arg(short = 'o', value_name = "OPTION", value_delimiter = ',')]
    options: Vec<String>,

    /// Print what the view object FILE holds, X.bpf.o or X.bpf.c, and whether it can be used here
    #[arg(long, conflicts_with = "options")]
    check: bool,

    /// Print the result of --check as JSON
    #[arg(long, requires = "check")]
    json: bool,

    /// Print the source of a view called NAME, to start from
    #[arg(long, value_name = "NAME", exclusive = true)]
    new: Option<String>,

    /// Write the headers for authors of views to DIR, for clang -I DIR
    #[arg(long, value_name = "DIR", exclusive = true)]
    headers: Option<PathBuf>,

    #[arg(long, hide = true, num_args = 1.., allow_hyphen_values = true, exclusive = true)]
    compile: Option<Vec<OsString>>,

    #[arg(long, hide = true, num_args = 0..=3, exclusive = true)]
    load: Option<Vec<PathBuf>>,

    #[arg(long, hide = true, exclusive = true)]
    probe: Option<PathBuf>,
}

/// The error in one line, without the `error: ` of clap.
pub fn complaint(error: &clap::Error) -> String {
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}

/// Parses the command line, of which the first word is the program.
///
/// # Errors
/// An error of the command line, to be printed by [`complaint`]. The texts of `--help` and
/// `--version` are errors of clap too, to be printed to standard output.
pub fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Command, clap::Error> {
    let line = CommandLine::try_parse_from(words)?;
    if let Some(target) = line.load {
        return Ok(Command::Load(target));
    }
    if let Some(mountpoint) = line.probe {
        return Ok(Command::Probe(mountpoint));
    }
    if let Some(command) = line.compile {
        return Ok(Command::Compile(command));
    }
    if let Some(dir) = line.headers {
        return Ok(Command::Headers(dir));
    }
    if let Some(name) = line.new {
        return match skeleton::accepts(&name) {
            Ok(()) => Ok(Command::New(name)),
            Err(reason) => Err(usage_error(&format!("--new {name}: {reason}"))),
        };
    }
    if line.check {
        return match <[PathBuf; 1]>::try_from(line.dirs) {
            Ok([object]) => Ok(Command::Check {
                object,
                json: line.json,
            }),
            Err(_) => Err(usage_error("--check needs one object file; see --help")),
        };
    }
    let (source, mountpoint) = source_and_mountpoint(&line.dirs)?;
    if line.options.iter().any(|option| option == "remount") {
        return remount(mountpoint, line.options);
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

fn source_and_mountpoint(dirs: &[PathBuf]) -> Result<(Option<PathBuf>, PathBuf), clap::Error> {
    match dirs {
        [mountpoint] => Ok((None, mountpoint.clone())),
        // /proc/mounts shows this source, so a remount and a line of fstab may pass it.
        [source, mountpoint] if source.as_os_str() == "cgview" => Ok((None, mountpoint.clone())),
        [source, mountpoint] => Ok((Some(absolute(source)?), mountpoint.clone())),
        [] => Err(usage_error("no mountpoint given; see --help")),
        _ => Err(usage_error(
            "more than SOURCE and MOUNTPOINT given; see --help",
        )),
    }
}

fn remount(mountpoint: PathBuf, options: Vec<String>) -> Result<Command, clap::Error> {
    for option in options.iter().filter(|option| *option != "remount") {
        let name = option.split('=').next().unwrap_or(option);
        if !is_generic(option, name) {
            return Err(usage_error(&format!(
                "option {option:?} cannot be changed by a remount; unmount and mount again"
            )));
        }
    }
    Ok(Command::Remount {
        mountpoint,
        options,
    })
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
            return Err(usage_error(&format!(
                "option {name} needs a value: -o {name}=VALUE"
            )));
        }
        ("builtin", Some(names)) => args.builtin = builtin(names)?,
        ("views", Some(dirs)) => args.view_dirs.files.extend(directories(name, dirs)?),
        ("pins", Some(dirs)) => args.view_dirs.pins.extend(directories(name, dirs)?),
        ("manage", None) => args.manage = true,
        _ if is_generic(option, name) => {}
        _ => {
            return Err(usage_error(&format!(
                "unknown option {option:?}; see --help"
            )));
        }
    }
    Ok(())
}

/// Whether mount(8) or mount.fuse may pass this option to any helper. Such an option has no effect
/// on the flags of a new mount, which are fixed.
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

/// The built-in objects with these names, separated by colons.
fn builtin(list: &str) -> Result<Vec<Builtin>, clap::Error> {
    let names: Vec<&str> = list.split(':').filter(|name| !name.is_empty()).collect();
    let known: Vec<&str> = BUILTIN.iter().map(|(name, _)| *name).collect();
    if let Some(name) = names.iter().find(|name| !known.contains(name)) {
        let known = known.join(", ");
        return Err(usage_error(&format!(
            "option builtin: no built-in view is called {name:?}, only {known}"
        )));
    }
    let wanted = BUILTIN.iter().filter(|(name, _)| names.contains(name));
    Ok(wanted.copied().collect())
}

/// The directories in a list separated by colons. They have to exist, unlike the default ones.
fn directories(name: &str, list: &str) -> Result<Vec<PathBuf>, clap::Error> {
    let dirs: Vec<PathBuf> = list
        .split(':')
        .filter(|dir| !dir.is_empty())
        .map(Into::into)
        .collect();
    match dirs.iter().find(|dir| !dir.is_dir()) {
        None => dirs.iter().map(|dir| absolute(dir)).collect(),
        Some(dir) => Err(usage_error(&format!(
            "option {name}: {} is not a directory",
            dir.display()
        ))),
    }
}

/// The daemon changes its working directory.
fn absolute(path: &Path) -> Result<PathBuf, clap::Error> {
    std::path::absolute(path).map_err(|error| usage_error(&format!("{}: {error}", path.display())))
}

fn number(name: &str, value: &str) -> Result<NonZeroUsize, clap::Error> {
    value
        .parse()
        .map_err(|_| usage_error(&format!("option {name}: {value:?} is not a number above 0")))
}

fn usage_error(message: &str) -> clap::Error {
    clap::Error::raw(ErrorKind::ValueValidation, format!("{message}\n"))
}

#[cfg(test)]
mod tests;
