//! The `cgview` command: a mount helper that becomes the daemon of its mount.

// What must not happen at run time; tests may, so this is not in Cargo.toml.
#![deny(
    clippy::exit,
    clippy::expect_used,
    clippy::panic,
    clippy::todo,
    clippy::unreachable,
    clippy::unwrap_used
)]

use std::error::Error;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use cgview::args::{self, Args, Command};
use cgview::bpf::catalog::{Catalog, Follow};
use cgview::bpf::load;
use cgview::bpf::run::{Engine, Instance, Links, Settings, check};
use cgview::daemon::{self, Side, drop_unneeded, logging};
use cgview::fs::{CgviewFs, Changes, Mounted, Mountpoint, Options, remount};
use cgview::mirror::{Mirror, Version, find_cgroup2, open_source};
use crossbeam_channel::{Receiver, bounded, select};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

type Failure = Box<dyn Error>;

fn main() -> ExitCode {
    let command = match args::parse(std::env::args_os()) {
        Ok(command) => command,
        Err(error) => {
            if error.use_stderr() {
                eprintln!("cgview: {}", args::complaint(&error));
            } else {
                // Help and version are no failure.
                let _ = error.print();
            }
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(1));
        }
    };
    match run(command) {
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
        Command::Check { object, json } => check_object(&object, json),
        Command::Mount(args) if args.foreground => {
            logging::to_stderr();
            become_daemon()?;
            let ending = ending()?;
            let parts = mount(&args)?;
            log::info!("mounted at {}", args.mountpoint.display());
            wait(&parts.mounted, &ending);
            Ok(())
        }
        Command::Mount(args) => match daemon::background()? {
            Side::Command(result) => result.map_err(Into::into),
            Side::Daemon(starting) => {
                logging::to_syslog();
                let started = become_daemon().and_then(|()| Ok((ending()?, mount(&args)?)));
                match started {
                    Ok((ending, parts)) => {
                        starting.ready()?;
                        wait(&parts.mounted, &ending);
                    }
                    Err(error) => starting.failed(&error.to_string()),
                }
                Ok(())
            }
        },
    }
}

/// What a mount consists of, in the order in which it is taken down.
struct Parts {
    mounted: Mounted,
    _follow: Follow,
    _catalog: Arc<Catalog>,
}

/// What comes before any thread is started.
fn become_daemon() -> Result<(), Failure> {
    if !rustix::process::geteuid().is_root() {
        return Err("only root can mount cgview (it loads BPF programs)".into());
    }
    drop_unneeded().map_err(|error| format!("drop capabilities: {error}"))?;
    Ok(())
}

fn mount(args: &Args) -> Result<Parts, Failure> {
    let path = match &args.source {
        Some(path) => path.clone(),
        None => find_cgroup2()?,
    };
    let source = open_source(&path)?;
    let mountpoint = Mountpoint::prepare(&args.mountpoint)?;
    let instance = Instance::mount(mountpoint.path())?;

    let for_collectors = source.fd.try_clone()?;
    let changes = Changes::new();
    let mirror = Arc::new(Mirror::start(source.fd, changes.callback())?);
    let links = Arc::new(Links::new(args.max_links));
    let settings = Settings {
        ids_name_cgroups: source.version == Version::V2,
        max_sweep_bytes: args.max_snapshot_bytes,
    };
    let engine = Engine::new(instance, Arc::clone(&links), for_collectors, settings)?;
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
    );
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
    let elf = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
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

/// Gets a message when a signal asks for the end.
fn ending() -> Result<Receiver<()>, Failure> {
    let mut signals = Signals::new([SIGTERM, SIGINT])?;
    let (send, receive) = bounded(1);
    std::thread::Builder::new()
        .name("cgview-signals".to_owned())
        .spawn(move || {
            for _ in signals.forever() {
                // One message is enough, however many signals come.
                let _ = send.try_send(());
            }
        })?;
    Ok(receive)
}

fn wait(mounted: &Mounted, ending: &Receiver<()>) {
    select! {
        recv(mounted.ended()) -> _ => {}
        recv(ending) -> _ => {}
    }
}
