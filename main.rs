//! The `cgview` command: a mount helper that becomes the daemon of its mount.

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use cgview::args::{self, Args, Command};
use cgview::bpf::{BUILTIN, Engine, Instance, Links, Settings, loader};
use cgview::daemon::{self, Side};
use cgview::fs::{Catalog, CgviewFs, Changes, Mounted, Mountpoint, remount};
use cgview::logging;
use cgview::mirror::{Mirror, Version, find_cgroup2, open_source};
use crossbeam_channel::{Receiver, bounded, select};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

type Failure = Box<dyn Error>;

fn main() -> ExitCode {
    let command = match args::parse(std::env::args_os()) {
        Ok(command) => command,
        Err(error) => {
            // Help and version are no failure, and go to standard output.
            let code = error.exit_code();
            let _ = error.print();
            return ExitCode::from(u8::try_from(code).unwrap_or(1));
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
        Command::Load { dir, cgroup } => Ok(loader::serve(&dir, &cgroup)?),
        Command::Mount(args) if args.foreground => {
            logging::to_stderr();
            let ending = ending()?;
            let mounted = mount(&args)?;
            log::info!("mounted at {}", args.mountpoint.display());
            wait(&mounted.0, &ending);
            Ok(())
        }
        Command::Mount(args) => match daemon::background()? {
            Side::Command(result) => result.map_err(Into::into),
            Side::Daemon(starting) => {
                logging::to_syslog();
                match ending().and_then(|ending| Ok((ending, mount(&args)?))) {
                    Ok((ending, mounted)) => {
                        starting.ready()?;
                        wait(&mounted.0, &ending);
                    }
                    Err(error) => starting.failed(&error.to_string()),
                }
                Ok(())
            }
        },
    }
}

/// What a mount consists of, in the order in which it is taken down.
struct Parts(Mounted, #[allow(dead_code)] Engine);

fn mount(args: &Args) -> Result<Parts, Failure> {
    if !rustix::process::geteuid().is_root() {
        return Err("only root can mount cgview (it loads BPF programs)".into());
    }
    let path = match &args.source {
        Some(path) => path.clone(),
        None => find_cgroup2()?,
    };
    let source = open_source(&path)?;
    let mountpoint = Mountpoint::prepare(&args.mountpoint)?;
    let instance = Instance::mount(mountpoint.path())?;

    let changes = Changes::new();
    let mirror = Arc::new(Mirror::start(source.fd, changes.callback())?);
    let links = Arc::new(Links::new(args.max_links));
    let settings = Settings {
        cgroup: path,
        ids_name_cgroups: source.version == Version::V2,
        sweep_bytes: args.max_snapshot_bytes,
    };
    let engine = Engine::new(instance, Arc::clone(&links), settings);
    let catalog = Arc::new(Catalog::default());
    for (name, elf) in BUILTIN {
        let object = engine.load(name, elf)?;
        if let Some(reason) = &object.manifest.error {
            log::warn!("the built-in view object {name} cannot be used here: {reason}");
        }
        for view in object.views {
            catalog.place(Path::new(""), view);
        }
    }
    let filesystem = CgviewFs::new(
        Arc::clone(&mirror),
        catalog,
        Arc::clone(&links),
        args.max_snapshot_bytes,
    );
    let mounted = mountpoint.mount(filesystem, mirror, links, &changes)?;
    // Mounted is not enough: it has to answer.
    std::fs::metadata(&args.mountpoint)?;
    Ok(Parts(mounted, engine))
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
