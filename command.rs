//! The `cgview` command: parses the command line, mounts, and serves until a signal or an unmount.
//! The only place that prints errors and sets the exit code.

use std::error::Error;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use crate::args::{self, Args, Command};
use crate::bpf::catalog::{Catalog, Follow};
use crate::bpf::compile;
use crate::bpf::compile::sandbox;
use crate::bpf::load;
use crate::bpf::run::{Engine, Links, OwnBpffs, Settings, check};
use crate::bpf::{headers, skeleton};
use crate::daemon::{self, Side, logging};
use crate::fs::{CgviewFs, Changes, Mounted, Mountpoint, Options, probe, remount};
use crate::mirror::{Mirror, Version, find_cgroup2, open_source};
use crate::sys;
use crossbeam_channel::{Receiver, bounded, select};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::Signals;

type Failure = Box<dyn Error>;

/// Runs the command with the arguments of the process, prints its errors, and returns its exit code.
pub fn main() -> ExitCode {
    let command = match args::parse(std::env::args_os()) {
        Ok(command) => command,
        Err(error) => {
            if error.use_stderr() {
                eprintln!("cgview: {}", args::complaint(&error));
            } else {
                // Help or version, for which clap has an exit code of 0.
                let _ = error.print();
            }
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(1));
        }
    };
    let result = run(command);
    log::logger().flush();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cgview: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Remount {
            mountpoint,
            options,
        } => Ok(remount(&mountpoint, &options)?),
        Command::Load(target) => Ok(load::serve(&target)?),
        Command::Compile(command) => match sandbox::serve(&command)? {},
        Command::Headers(dir) => Ok(headers::write(&dir)?),
        Command::New(name) => Ok(std::io::stdout().write_all(skeleton::of(&name).as_bytes())?),
        Command::Probe(mountpoint) => Ok(probe(&mountpoint)?),
        Command::Check { object, json } => check_object(&object, json),
        Command::Mount(args) if args.foreground => {
            logging::to_stderr();
            set_up_process()?;
            let signals = stop_signals()?;
            let parts = mount(&args)?;
            log::info!("mounted at {}", args.mountpoint.display());
            wait_for_end(&parts.mounted, &signals);
            Ok(())
        }
        Command::Mount(args) => match daemon::background()? {
            Side::Command(result) => result.map_err(Into::into),
            Side::Daemon(starting) => {
                logging::to_syslog();
                let start = || {
                    set_up_process()?;
                    Ok::<_, Failure>((stop_signals()?, mount(&args)?))
                };
                match start() {
                    Ok((signals, parts)) => {
                        starting.ready()?;
                        wait_for_end(&parts.mounted, &signals);
                    }
                    Err(error) => starting.failed(&error.to_string()),
                }
                Ok(())
            }
        },
    }
}

/// The parts of a mount, in the order in which they are dropped.
struct Parts {
    mounted: Mounted,
    _follow: Follow,
    _catalog: Arc<Catalog>,
}

/// Checks for root, raises the limit of open files and drops capabilities. Has to run before the
/// first thread starts, since capabilities belong to threads.
fn set_up_process() -> Result<(), Failure> {
    if !daemon::is_root() {
        return Err("only root can mount cgview, which loads BPF programs; use sudo".into());
    }
    if let Err(error) = daemon::raise_open_files_limit() {
        log::warn!("raise the soft limit of open files: {error}; some views may not load");
    }
    if let Err(error) = sys::return_freed_memory() {
        log::warn!("{error}; memory of large reads is kept");
    }
    daemon::drop_unneeded_capabilities().map_err(|error| format!("drop capabilities: {error}"))?;
    Ok(logging::start_thread()?)
}

fn mount(args: &Args) -> Result<Parts, Failure> {
    let path = match &args.source {
        Some(path) => path.clone(),
        None => find_cgroup2()?,
    };
    let source = open_source(&path)?;
    let mountpoint = Mountpoint::prepare(&args.mountpoint)?;
    let bpffs = OwnBpffs::mount(mountpoint.path())?;

    let for_collectors = source.fd.try_clone()?;
    let changes = Changes::new();
    let mirror = Arc::new(Mirror::start(source.fd, changes.callback())?);
    let links = Arc::new(Links::new(args.max_links));
    let settings = Settings {
        ids_name_cgroups: source.version == Version::V2,
        max_sweep_bytes: args.max_snapshot_bytes,
    };
    let engine = Engine::new(bpffs, Arc::clone(&links), for_collectors, settings)?;
    let catalog = Arc::new(Catalog::new(engine));
    catalog.load_builtin(&args.builtin);
    let follow = Follow::start(Arc::clone(&catalog), args.view_dirs.clone())?;
    let filesystem = CgviewFs::new(
        mirror,
        Arc::clone(&catalog),
        links,
        Options {
            snapshot_bytes: args.max_snapshot_bytes,
            manage: args.manage,
        },
    )?;
    let mounted = mountpoint.mount(filesystem, &changes)?;
    // Mounted is not enough: it has to answer.
    std::fs::metadata(&args.mountpoint)?;
    Ok(Parts {
        mounted,
        _follow: follow,
        _catalog: catalog,
    })
}

fn check_object(path: &Path, json: bool) -> Result<(), Failure> {
    let elf = std::fs::read(path).map_err(|error| format!("read {}: {error}", path.display()))?;
    let elf = compile::to_object(path, elf, &|| false)?;
    let manifest = check(&elf)?;
    let mut stdout = std::io::stdout().lock();
    if json {
        serde_json::to_writer_pretty(&mut stdout, &manifest)?;
        writeln!(stdout)?;
    } else {
        write!(stdout, "{manifest}")?;
    }
    stdout.flush()?;
    match manifest.first_reason() {
        None => Ok(()),
        Some(reason) => Err(format!("{} cannot be used here: {reason}", path.display()).into()),
    }
}

/// Receives a message at SIGTERM, SIGINT and SIGHUP. SIGUSR1 and SIGUSR2, which would kill the
/// daemon and leave a dead mount, have no effect.
fn stop_signals() -> Result<Receiver<()>, Failure> {
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2])?;
    let (send, receive) = bounded(1);
    std::thread::Builder::new()
        .name("cgview-signals".to_owned())
        .spawn(move || {
            for signal in signals.forever() {
                if ![SIGUSR1, SIGUSR2].contains(&signal) {
                    // The channel is full if a message waits already, which is enough.
                    let _ = send.try_send(());
                }
            }
        })?;
    Ok(receive)
}

fn wait_for_end(mounted: &Mounted, signals: &Receiver<()>) {
    select! {
        recv(mounted.ended()) -> _ => {}
        recv(signals) -> _ => {}
    }
}
