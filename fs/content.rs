//! The bytes of a view's file, for each form. Every run is followed by a look whether the cgroup
//! is still there: only then its output is whole and about that cgroup.

use std::ffi::OsStr;
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::sync::Arc;

use crate::bpf;
use crate::bpf::record::{self as render, Plan};
use crate::bpf::run::{Swept, View};
use crate::mirror::{self, CgroupId};

use super::CgviewFs;
use super::errno::Error;
use super::form::Form;
use super::inode::FileNode;
use super::paths::Paths;

/// What one cgroup usually takes in a rendering; a longer one grows the buffer.
const ONE_CGROUP_BYTES: usize = 512;

/// Deepest tree that a walk by single reads descends into; cgroup v2 allows no deeper ones by
/// default (`cgroup.max.depth` is `max`, but paths end at 4096 bytes).
const MOST_DEPTH: usize = 2048;

/// A cgroup's path below the directory that is read, and what its view gave.
type PathAndOutput = (Vec<u8>, Vec<u8>);

impl CgviewFs {
    /// What the file holds now.
    pub(super) fn content(&self, file: FileNode) -> Result<Vec<u8>, Error> {
        let view = self.view_of(file)?;
        match (file.form, view.plan()) {
            (Form::Plain, None) => self.run(&view, file.cgroup),
            (Form::Bin, Some(_)) => self.run(&view, file.cgroup),
            (Form::Plain, Some(plan)) => self.render(&view, file.cgroup, plan, render::text),
            (Form::Json, Some(plan)) => self.render(&view, file.cgroup, plan, render::json),
            (Form::Prom, Some(plan)) => self.prometheus_of_one(&view, file.cgroup, plan),
            (Form::Tree, Some(plan)) => self.subtree(&view, file.cgroup, plan, render::table),
            (Form::TreeJson, Some(plan)) => {
                self.subtree(&view, file.cgroup, plan, render::tree_json)
            }
            (Form::Tree, None) => self.texts_of_subtree(&view, file.cgroup),
            (Form::Json | Form::Prom | Form::Bin | Form::TreeJson, None) => Err(Error::NoSuchName),
        }
    }

    /// Prometheus text of the whole tree below the mount's root.
    pub(super) fn prometheus_of_all(&self, view: &View) -> Result<Vec<u8>, Error> {
        let Some(plan) = view.plan() else {
            return Err(Error::NoSuchName);
        };
        self.subtree(view, self.mirror.root(), plan, render::prometheus)
    }

    /// Runs the program for one cgroup.
    fn run(&self, view: &View, cgroup: CgroupId) -> Result<Vec<u8>, Error> {
        let output = view.read(cgroup.0, || self.mirror.open(cgroup).map_err(os_error));
        self.check_alive(cgroup)?;
        Ok(output?)
    }

    /// To be called after a run. A link that was made meanwhile would keep a dead cgroup.
    fn check_alive(&self, cgroup: CgroupId) -> Result<(), Error> {
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
        form: impl FnOnce(&Plan, &[u8], &mut Vec<u8>) -> Result<(), render::Error>,
    ) -> Result<Vec<u8>, Error> {
        let record = self.run(view, cgroup)?;
        let mut out = Vec::with_capacity(ONE_CGROUP_BYTES);
        // A program that writes nothing has no record for this cgroup, or no rows.
        if !record.is_empty() || plan.fits(&[]).is_ok() {
            form(plan, &record, &mut out).map_err(|source| not_a_record(view, source))?;
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
            let path = match path.as_os_str().as_bytes() {
                [] => b".",
                path => path,
            };
            render::prometheus(plan, &[render::CgroupRecords { path, record }], out)
        })
    }

    /// Renders the records of a whole subtree, from one sweep where the view has one.
    fn subtree(
        &self,
        view: &View,
        root: CgroupId,
        plan: &Plan,
        form: impl FnOnce(
            &Plan,
            &[render::CgroupRecords<'_>],
            &mut Vec<u8>,
        ) -> Result<(), render::Error>,
    ) -> Result<Vec<u8>, Error> {
        let mut out = self.handles.spare.take();
        if view.can_sweep() {
            let directory = self.mirror.open(root)?;
            let expected = self.mirror.health().cgroups;
            view.sweep(root.0, directory.as_fd(), expected, |rows| {
                let paths = self.paths(root, rows);
                let rows: Vec<render::CgroupRecords<'_>> = paths.rows(rows).collect();
                form(plan, &rows, &mut out)
            })?
            .map_err(|source| not_a_record(view, source))?;
        } else {
            let read = self.read_subtree(view, root)?;
            let rows: Vec<render::CgroupRecords<'_>> = read
                .iter()
                .filter(|(_, record)| !record.is_empty())
                .map(|(path, record)| render::CgroupRecords { path, record })
                .collect();
            form(plan, &rows, &mut out).map_err(|source| not_a_record(view, source))?;
        }
        self.check_alive(root)?;
        Ok(self.handles.spare.fit(out))
    }

    fn paths(&self, root: CgroupId, rows: Swept<'_>) -> Arc<Paths> {
        let last = self.last_paths.lock().clone();
        if let Some(last) = last
            .as_ref()
            .filter(|last| last.are_of(&self.mirror, root, rows))
        {
            return Arc::clone(last);
        }
        let paths = Arc::new(Paths::of(&self.mirror, root, rows, last.as_deref()));
        *self.last_paths.lock() = Some(Arc::clone(&paths));
        paths
    }

    /// Each cgroup's text under a line with its path.
    fn texts_of_subtree(&self, view: &View, root: CgroupId) -> Result<Vec<u8>, Error> {
        let mut out = Vec::new();
        for (path, text) in self.read_subtree(view, root)? {
            out.extend_from_slice(b"# ");
            render::word(&path, &mut out);
            out.push(b'\n');
            out.extend_from_slice(&text);
            if !text.ends_with(b"\n") && !text.is_empty() {
                out.push(b'\n');
            }
        }
        self.check_alive(root)?;
        Ok(out)
    }

    /// Path and output of each cgroup of a subtree, parents first, by single reads.
    fn read_subtree(&self, view: &View, root: CgroupId) -> Result<Vec<PathAndOutput>, Error> {
        let mut read = vec![(b".".to_vec(), self.run(view, root)?)];
        let mut todo = vec![self.children(root, b"")?];
        while let Some(siblings) = todo.last_mut() {
            let Some((path, id)) = siblings.pop() else {
                todo.pop();
                continue;
            };
            match self.run(view, id) {
                Ok(output) => read.push((path.clone(), output)),
                Err(Error::Gone) => continue,
                Err(error) => return Err(error),
            }
            if todo.len() < MOST_DEPTH {
                todo.push(self.children(id, &path)?);
            }
        }
        Ok(read)
    }

    /// The children's paths, last first; none where the cgroup has just gone.
    fn children(&self, of: CgroupId, path: &[u8]) -> Result<Vec<(Vec<u8>, CgroupId)>, Error> {
        let mut children = match self.mirror.list(of) {
            Ok(children) => children,
            Err(mirror::Error::Gone(_)) => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        children.sort_unstable_by(|a, b| b.0.cmp(&a.0));
        let below = |name: &OsStr| match path {
            [] => name.as_bytes().to_vec(),
            path => [path, b"/", name.as_bytes()].concat(),
        };
        Ok(children
            .into_iter()
            .map(|(name, id)| (below(&name), id))
            .collect())
    }
}

fn not_a_record(view: &View, source: render::Error) -> Error {
    Error::Bpf(bpf::Error::Record {
        view: view.info().name.clone(),
        source,
    })
}

/// For the link, which knows cgroups by file descriptors only.
fn os_error(error: mirror::Error) -> io::Error {
    match error {
        mirror::Error::Io { source, .. } | mirror::Error::Thread(source) => source,
        mirror::Error::Gone(_) | mirror::Error::Outside(_) | mirror::Error::NotFound { .. } => {
            io::Error::from_raw_os_error(libc::ESTALE)
        }
    }
}
