//! Directories: look-up of names, entries, the attributes of nodes, and the removal of a placed
//! view. What lies below `.cgview` is [control](super::control)'s.

use std::ffi::{OsStr, OsString};
use std::time::SystemTime;

use fuser::{FileHandle, FileType, INodeNo};

use crate::mirror::{self, CgroupId};

use super::attr::Attributes;
use super::errno::Error;
use super::form::Form;
use super::inode::{ControlNode, FileNode, Node};
use super::open::{Entry, User};
use super::{CgviewFs, attr, control};

impl CgviewFs {
    pub(super) fn lookup(&self, parent: INodeNo, name: &OsStr) -> Result<Attributes, Error> {
        match self.node(parent)? {
            Node::Cgroup(parent) => self.lookup_in_cgroup(parent, name),
            Node::Control(parent) => self.control_attributes(self.control_child(parent, name)?),
            Node::File(_) => Err(Error::WrongKind),
        }
    }

    /// A child cgroup hides a view's file of the same name.
    fn lookup_in_cgroup(&self, parent: CgroupId, name: &OsStr) -> Result<Attributes, Error> {
        match self.mirror.lookup(parent, name) {
            Ok(child) => return self.cgroup_attributes(child),
            Err(mirror::Error::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        if parent == self.mirror.root() && name == control::NAME {
            return self.control_attributes(ControlNode::Top);
        }
        let file = self.file_of_name(parent, name)?;
        self.file_attributes(file.ok_or(Error::NoSuchName)?)
    }

    /// The view's file that the name stands for in the directory of `cgroup`.
    fn file_of_name(&self, cgroup: CgroupId, name: &OsStr) -> Result<Option<FileNode>, Error> {
        for (view, form) in Form::split(name.to_str().unwrap_or_default()) {
            let Some(name) = self.catalog.id(view) else {
                continue;
            };
            let file = FileNode { cgroup, name, form };
            if self.find_view(file)?.is_some() {
                return Ok(Some(file));
            }
        }
        Ok(None)
    }

    pub(super) fn getattr(
        &self,
        number: INodeNo,
        open: Option<FileHandle>,
    ) -> Result<Attributes, Error> {
        match (self.node(number)?, open) {
            (Node::Cgroup(id), _) => self.cgroup_attributes(id),
            (Node::Control(control), _) => self.control_attributes(control),
            // An open file keeps its attributes when its cgroup or its view is gone.
            (Node::File(file), Some(_)) => self.file_attributes(file),
            (Node::File(file), None) => {
                self.check_exists(file)?;
                self.file_attributes(file)
            }
        }
    }

    fn cgroup_attributes(&self, id: CgroupId) -> Result<Attributes, Error> {
        let stat = self.mirror.stat(id)?;
        // cgroupfs does not count `.cgview`.
        let extra_links = u32::from(id == self.mirror.root());
        // To remove a view takes root's capabilities, which need no mode, and not to own the cgroup.
        let mode_mask = if self.manage { 0o7555 } else { 0o7777 };
        let number = INodeNo(id.0);
        Ok(attr::cgroup(number, &stat, extra_links, mode_mask))
    }

    fn file_attributes(&self, file: FileNode) -> Result<Attributes, Error> {
        let number = Node::File(file).number().ok_or(Error::NumberTooLarge)?;
        Ok(self.content_attributes(number))
    }

    /// The attributes of a file whose content is made when it is read.
    pub(super) fn content_attributes(&self, number: INodeNo) -> Attributes {
        let length_bytes = self.lengths.get(number).unwrap_or(0);
        attr::file(number, length_bytes, SystemTime::now())
    }

    pub(super) fn opendir(&self, number: INodeNo, by: User) -> Result<FileHandle, Error> {
        let entries = match self.node(number)? {
            Node::Cgroup(id) => self.cgroup_entries(id)?,
            Node::Control(control) => self.control_entries(control),
            Node::File(_) => return Err(Error::WrongKind),
        };
        self.handles.open_directory(entries, by)
    }

    /// The child cgroups, then the views' files that none of them hides.
    fn cgroup_entries(&self, id: CgroupId) -> Result<Vec<Entry>, Error> {
        let children = self.mirror.list(id)?;
        let is_hidden = |name: &OsStr| children.iter().any(|(child, _)| child == name);
        let mut files = self.file_entries(id)?;
        if id == self.mirror.root() {
            files.extend(self.control_entry());
        }
        files.retain(|file| !is_hidden(&file.name));

        let parent = self.mirror.parent(id)?.unwrap_or(id);
        let mut entries = vec![
            directory_entry(".".into(), id),
            directory_entry("..".into(), parent),
        ];
        let children = children.into_iter();
        entries.extend(children.map(|(name, id)| directory_entry(name, id)));
        entries.append(&mut files);
        Ok(entries)
    }

    /// The files of the views that are placed at or above the cgroup. A file that has no inode
    /// number is not listed.
    fn file_entries(&self, cgroup: CgroupId) -> Result<Vec<Entry>, Error> {
        let mut entries = Vec::new();
        for (name, view) in self.catalog.views(&self.mirror.path(cgroup)?) {
            let form = Form::Plain;
            let file = Node::File(FileNode { cgroup, name, form });
            if let Some(number) = file.number() {
                entries.push(Entry {
                    number,
                    kind: FileType::RegularFile,
                    name: OsString::from(&view.info().name),
                });
            }
        }
        Ok(entries)
    }

    /// Removes the object that is placed in this directory and has a view of this name.
    pub(super) fn unlink(&self, parent: INodeNo, name: &OsStr) -> Result<(), Error> {
        if !self.manage {
            return Err(Error::ReadOnly);
        }
        let Node::Cgroup(id) = self.node(parent)? else {
            return Err(Error::NotPlacedHere);
        };
        let name = name.to_str().and_then(|name| self.catalog.id(name));
        let path = self.mirror.path(id)?;
        let name = name.ok_or(Error::NotPlacedHere)?;
        let placed = self.catalog.find(name, || Ok::<_, Error>(path.clone()))?;
        let placed = placed.ok_or(Error::NoSuchName)?;
        if placed.placement != path {
            return Err(Error::NotPlacedHere);
        }
        let origin = &placed.origin;
        log::info!(
            "remove {origin}: its file in /{} was removed",
            path.display()
        );
        self.catalog.remove(origin).map_err(Error::Remove)
    }
}

fn directory_entry(name: OsString, id: CgroupId) -> Entry {
    Entry {
        number: INodeNo(id.0),
        kind: FileType::Directory,
        name,
    }
}
