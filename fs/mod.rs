//! The file system: what is in each directory, and what a read of each file gives. Plain
//! functions over the mirror and the views; the kernel's protocol is [adapter]'s.

mod adapter;
mod attr;
mod content;
mod control;
mod errno;
mod form;
mod inode;
mod invalidate;
mod mount;
mod open;
mod paths;

use std::ffi::{OsStr, OsString};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use fuser::{FileAttr, FileHandle, FileType, INodeNo};
use parking_lot::Mutex;
use rustix::fs::fstat;

use crate::bpf::catalog::Catalog;
use crate::bpf::run::{Links, View};
use crate::mirror::{self, CgroupId, Mirror};

pub use invalidate::Changes;
pub use mount::{MountError, Mounted, Mountpoint, remount};

use errno::Error;
use form::Form;
use inode::{ControlNode, FileNode, Node};
use open::{Entry, Handles, Lengths, PageCache};
use paths::Paths;

/// Of how many files the last length is remembered; a forgotten one costs a second run at open.
const REMEMBERED_LENGTHS: NonZeroUsize = NonZeroUsize::new(1 << 16).expect("not zero");

/// The file system over one hierarchy.
pub struct CgviewFs {
    mirror: Arc<Mirror>,
    catalog: Arc<Catalog>,
    links: Arc<Links>,
    handles: Handles,
    lengths: Lengths,
    page_cache: PageCache,
    /// Held to take or put them, never while paths are made.
    last_paths: Mutex<Option<Arc<Paths>>>,
    started: SystemTime,
    manage: bool,
}

/// How the file system behaves.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// What the bytes of open files may take together.
    pub snapshot_bytes: usize,
    /// Whether removing a view's file where it is placed removes the view.
    pub manage: bool,
}

/// A node that was looked up.
struct Found {
    attr: FileAttr,
    attr_ttl: Duration,
}

impl CgviewFs {
    /// Shows the views of `catalog` over the hierarchy of `mirror`.
    pub fn new(
        mirror: Arc<Mirror>,
        catalog: Arc<Catalog>,
        links: Arc<Links>,
        options: Options,
    ) -> CgviewFs {
        CgviewFs {
            mirror,
            catalog,
            links,
            handles: Handles::new(options.snapshot_bytes),
            manage: options.manage,
            lengths: Lengths::new(REMEMBERED_LENGTHS),
            page_cache: PageCache::new(REMEMBERED_LENGTHS),
            last_paths: Mutex::new(None),
            started: SystemTime::now(),
        }
    }

    /// What its notifying thread works with too.
    fn shared(&self) -> (Arc<Mirror>, Arc<Links>, Arc<Catalog>) {
        let mirror = Arc::clone(&self.mirror);
        (mirror, Arc::clone(&self.links), Arc::clone(&self.catalog))
    }

    fn node(&self, number: INodeNo) -> Result<Node, Error> {
        Node::of(number, self.mirror.root()).ok_or(Error::NoSuchNode)
    }

    fn lookup(&self, parent: INodeNo, name: &OsStr) -> Result<Found, Error> {
        match self.node(parent)? {
            Node::Cgroup(parent) => self.lookup_in_cgroup(parent, name),
            Node::Control(parent) => self.attr(Node::Control(self.control_child(parent, name)?)),
            Node::File(_) => Err(Error::WrongKind),
        }
    }

    fn lookup_in_cgroup(&self, parent: CgroupId, name: &OsStr) -> Result<Found, Error> {
        match self.mirror.lookup(parent, name) {
            Ok(child) => return self.attr(Node::Cgroup(child)),
            Err(mirror::Error::NotFound { .. }) => {}
            // What is above may be there again under the same name.
            Err(mirror::Error::Gone(_)) => return Err(Error::Stale),
            Err(error) => return Err(error.into()),
        }
        if parent == self.mirror.root() && name == control::NAME {
            return self.attr(Node::Control(ControlNode::Top));
        }
        let name = name.to_str().ok_or(Error::NoSuchName)?;
        for (view, form) in Form::split(name) {
            let Some(name) = self.catalog.id(view) else {
                continue;
            };
            let file = FileNode {
                cgroup: parent,
                name,
                form,
            };
            match self.view_of(file) {
                Ok(_) => return self.file_attr(file),
                Err(Error::Stale) => {}
                Err(error) => return Err(error),
            }
        }
        Err(Error::NoSuchName)
    }

    /// The view that the file shows; [`Error::Stale`] when there is none any more, or one that has
    /// no such form.
    fn view_of(&self, file: FileNode) -> Result<Arc<View>, Error> {
        let path = || self.mirror.path(file.cgroup);
        let found = self.catalog.find(file.name, path)?;
        let view = found.map(|placed| placed.view);
        view.filter(|view| has_form(view, file.form))
            .ok_or(Error::Stale)
    }

    fn attr(&self, node: Node) -> Result<Found, Error> {
        match node {
            Node::Cgroup(id) => {
                let stat = fstat(self.mirror.open(id)?).map_err(|_| Error::Stale)?;
                let mut attr = attr::cgroup(INodeNo(id.0), &stat);
                // cgroupfs does not know of `.cgview`.
                attr.nlink += u32::from(id == self.mirror.root());
                let attr_ttl = attr::DIRECTORY_TTL;
                Ok(Found { attr, attr_ttl })
            }
            Node::File(file) => {
                if !self.mirror.is_alive(file.cgroup)? {
                    return Err(Error::Stale);
                }
                self.view_of(file)?;
                self.file_attr(file)
            }
            Node::Control(control) => self.control_attr(control),
        }
    }

    fn file_attr(&self, file: FileNode) -> Result<Found, Error> {
        let number = Node::File(file).number().ok_or(Error::NumberTooLarge)?;
        Ok(self.content_attr(number))
    }

    /// The attributes of a file whose content is made when it is read.
    fn content_attr(&self, number: INodeNo) -> Found {
        let length_bytes = self.lengths.get(number).unwrap_or(0);
        Found {
            attr: attr::file(number, length_bytes, SystemTime::now()),
            attr_ttl: attr::FILE_TTL,
        }
    }

    fn getattr(&self, number: INodeNo, open: Option<FileHandle>) -> Result<Found, Error> {
        let node = self.node(number)?;
        match (node, open) {
            // A file stays what it is for who has it open.
            (Node::File(file), Some(_)) => self.file_attr(file),
            _ => self.attr(node),
        }
    }

    /// Removes the object that is placed in this very directory and shows this view.
    fn unlink(&self, parent: INodeNo, name: &OsStr) -> Result<(), Error> {
        if !self.manage {
            return Err(Error::ReadOnly);
        }
        let Node::Cgroup(id) = self.node(parent)? else {
            return Err(Error::NotPlacedHere);
        };
        let name = name.to_str().and_then(|name| self.catalog.id(name));
        let path = self.mirror.path(id)?;
        let name = name.ok_or(Error::NotPlacedHere)?;
        let found = self.catalog.find(name, || Ok::<_, Error>(path.clone()))?;
        let place = found.ok_or(Error::NoSuchName)?;
        if place.placement != path {
            return Err(Error::NotPlacedHere);
        }
        log::info!(
            "removing {} as its file in {} was removed",
            place.origin,
            path.display()
        );
        self.catalog.remove(&place.origin).map_err(Error::Remove)
    }

    fn opendir(&self, number: INodeNo) -> Result<FileHandle, Error> {
        let entries = match self.node(number)? {
            Node::Cgroup(id) => self.cgroup_entries(id)?,
            Node::Control(control) => self.control_entries(control)?,
            Node::File(_) => return Err(Error::WrongKind),
        };
        self.handles.open_directory(entries)
    }

    /// Child cgroups, then the views that none of them hides.
    fn cgroup_entries(&self, id: CgroupId) -> Result<Vec<Entry>, Error> {
        let parent = self.mirror.parent(id)?.unwrap_or(id);
        let directory = |name: OsString, id: CgroupId| Entry {
            number: INodeNo(id.0),
            kind: FileType::Directory,
            name,
        };
        let mut entries = vec![directory(".".into(), id), directory("..".into(), parent)];
        let children = self.mirror.list(id)?;
        entries.extend(children.into_iter().map(|(name, id)| directory(name, id)));
        let cgroups = entries.len();
        for (name, view) in self.catalog.views(&self.mirror.path(id)?) {
            let file = Node::File(FileNode {
                cgroup: id,
                name,
                form: Form::Plain,
            });
            let name = OsString::from(&view.info().name);
            let children = entries.get(2..cgroups).unwrap_or_default();
            if let Some(number) = file.number()
                && !children.iter().any(|child| child.name == name)
            {
                let kind = FileType::RegularFile;
                entries.push(Entry { number, kind, name });
            }
        }
        let children = entries.get(2..cgroups).unwrap_or_default();
        let hidden = children.iter().any(|child| child.name == control::NAME);
        if id == self.mirror.root() && !hidden {
            entries.push(self.control_entry());
        }
        Ok(entries)
    }
}

/// Whether the view can be read in this form.
fn has_form(view: &View, form: Form) -> bool {
    match form {
        Form::Plain | Form::Tree => true,
        Form::Json | Form::Prom | Form::Bin | Form::TreeJson => view.plan().is_some(),
    }
}
