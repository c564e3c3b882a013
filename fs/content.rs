//! The bytes of a view's file about one cgroup; those about a subtree are
//! [subtree](super::subtree)'s. After each run the cgroup has to exist: only then the output is
//! whole and about that cgroup.

use std::io;
use std::os::unix::ffi::OsStrExt as _;

use crate::bpf;
use crate::bpf::record::{self, CgroupRecords, Plan};
use crate::bpf::run::View;
use crate::mirror::{self, CgroupId};

use super::CgviewFs;
use super::caller::Reader;
use super::errno::Error;
use super::form::Form;
use super::inode::FileNode;
use super::open::{Allowance, Content};
use super::paths;
use super::subtree::Subtree;

/// The capacity that most renderings of one cgroup need. A longer one grows the buffer.
const ONE_CGROUP_BYTES: usize = 512;

impl CgviewFs {
    /// Runs the view and makes the bytes of the file.
    pub(super) fn content(
        &self,
        file: FileNode,
        reader: Reader,
        allowance: &mut Allowance<'_>,
    ) -> Result<Content, Error> {
        let view = &*self.view_of(file)?;
        let cgroup = file.cgroup;
        let subtree = Subtree {
            root: cgroup,
            reader,
        };
        let bytes = match (file.form, view.plan()) {
            (Form::Tree, Some(plan)) => {
                return self.subtree(view, subtree, plan, record::table, allowance);
            }
            (Form::TreeJson, Some(plan)) => {
                return self.subtree(view, subtree, plan, record::tree_json, allowance);
            }
            (Form::Tree, None) => return self.texts_of_subtree(view, subtree, allowance),
            (Form::Plain, None) => self.run(view, cgroup),
            (Form::Bin, Some(_)) => self.run(view, cgroup),
            (Form::Plain, Some(plan)) => self.render(view, cgroup, plan, record::text),
            (Form::Json, Some(plan)) => self.render(view, cgroup, plan, record::json),
            (Form::Prom, Some(plan)) => self.prometheus_of_one(view, cgroup, plan),
            (Form::Json | Form::Prom | Form::Bin | Form::TreeJson, None) => Err(Error::Gone),
        };
        bytes.map(Content::from)
    }

    /// Runs the program for one cgroup.
    pub(super) fn run(&self, view: &View, cgroup: CgroupId) -> Result<Vec<u8>, Error> {
        let output = view.read(cgroup.0, || self.mirror.open(cgroup).map_err(os_error));
        self.check_alive(cgroup)?;
        Ok(output?)
    }

    /// Fails with [`Error::Gone`] when the cgroup was removed during a run, and releases the links
    /// that were made for it since: they would keep its memory.
    pub(super) fn check_alive(&self, cgroup: CgroupId) -> Result<(), Error> {
        if self.mirror.is_alive(cgroup)? {
            return Ok(());
        }
        self.links.release(cgroup.0);
        Err(Error::Gone)
    }

    fn render(
        &self,
        view: &View,
        cgroup: CgroupId,
        plan: &Plan,
        rendering: impl FnOnce(&Plan, &[u8], &mut Vec<u8>) -> Result<(), record::Error>,
    ) -> Result<Vec<u8>, Error> {
        let record = self.run(view, cgroup)?;
        let mut out = Vec::with_capacity(ONE_CGROUP_BYTES);
        // A program that writes nothing has no record for this cgroup, or no rows.
        if !record.is_empty() || plan.fits(&[]).is_ok() {
            rendering(plan, &record, &mut out).map_err(|source| not_a_record(view, source))?;
        }
        Ok(out)
    }

    fn prometheus_of_one(
        &self,
        view: &View,
        cgroup: CgroupId,
        plan: &Plan,
    ) -> Result<Vec<u8>, Error> {
        let path = self.mirror.path(cgroup)?;
        self.render(view, cgroup, plan, |plan, record, out| {
            let shown = paths::shown(path.as_os_str().as_bytes(), cgroup);
            let path = match &*shown {
                [] => b".",
                path => path,
            };
            record::prometheus(plan, &[CgroupRecords { path, record }], out, &mut |_| true)
        })
    }
}

/// The error for an output that is not a record of the view, or too much.
pub(super) fn not_a_record(view: &View, source: record::Error) -> Error {
    if source == record::Error::NoRoom {
        return Error::TooMuchOpen;
    }
    Error::Bpf(bpf::Error::Record {
        view: view.info().name.clone(),
        source,
    })
}

/// The mirror's error for the view, which knows file descriptors and no cgroup ids: it takes
/// `ESTALE` for a removed cgroup.
fn os_error(error: mirror::Error) -> io::Error {
    match error {
        mirror::Error::Io { source, .. } | mirror::Error::Thread(source) => source,
        mirror::Error::Gone(_) | mirror::Error::Outside(_) | mirror::Error::NotFound { .. } => {
            io::Error::from_raw_os_error(libc::ESTALE)
        }
    }
}
