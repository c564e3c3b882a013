//! `.cgview` at the root of the mount: the status, what each view is, and Prometheus text of the
//! whole tree for each record view.

use std::ffi::{OsStr, OsString};
use std::sync::Arc;

use fuser::FileType;

mod status;

use crate::bpf::catalog::NameId;
use crate::bpf::record;
use crate::bpf::run::View;

use super::attr::Attributes;
use super::caller::Reader;
use super::errno::Error;
use super::inode::{ControlNode, Node};
use super::open::{Allowance, Content, Entry};
use super::{CgviewFs, attr};

/// The directory's name.
pub(in crate::fs) const NAME: &str = ".cgview";

const STATUS: &str = "status";
const STATUS_JSON: &str = "status.json";
const VIEWS: &str = "views";
const PROM: &str = "prom";
const HELP: &str = "help";
const SCHEMA: &str = "schema.json";
const PROM_SUFFIX: &str = ".prom";

impl ControlNode {
    pub(in crate::fs) fn is_directory(self) -> bool {
        match self {
            ControlNode::Top | ControlNode::Views | ControlNode::View(_) | ControlNode::Prom => {
                true
            }
            ControlNode::Status
            | ControlNode::StatusJson
            | ControlNode::Help(_)
            | ControlNode::Schema(_)
            | ControlNode::PromFile(_) => false,
        }
    }
}

impl CgviewFs {
    /// The entry of `.cgview` in the root directory.
    pub(in crate::fs) fn control_entry(&self) -> Option<Entry> {
        entry(NAME.into(), Node::Control(ControlNode::Top))
    }

    pub(in crate::fs) fn control_child(
        &self,
        parent: ControlNode,
        name: &OsStr,
    ) -> Result<ControlNode, Error> {
        let children = self.control_children(parent);
        let child = children.into_iter().find(|(child, _)| child == name);
        child.map(|(_, node)| node).ok_or(Error::NoSuchName)
    }

    pub(in crate::fs) fn control_entries(&self, of: ControlNode) -> Vec<Entry> {
        let parent = match of {
            ControlNode::View(_) => Node::Control(ControlNode::Views),
            ControlNode::Views | ControlNode::Prom => Node::Control(ControlNode::Top),
            ControlNode::Top
            | ControlNode::Status
            | ControlNode::StatusJson
            | ControlNode::Help(_)
            | ControlNode::Schema(_)
            | ControlNode::PromFile(_) => Node::Cgroup(self.mirror.root()),
        };
        let own = [(".".into(), Node::Control(of)), ("..".into(), parent)];
        let children = self.control_children(of).into_iter();
        let children = children.map(|(name, node)| (name, Node::Control(node)));
        let all = own.into_iter().chain(children);
        all.filter_map(|(name, node)| entry(name, node)).collect()
    }

    /// The children of a directory; a file has none.
    fn control_children(&self, of: ControlNode) -> Vec<(OsString, ControlNode)> {
        let views = || self.catalog.all().into_iter();
        let record_views = || views().filter(|(_, view)| view.plan().is_some());
        match of {
            ControlNode::Top => vec![
                (STATUS.into(), ControlNode::Status),
                (STATUS_JSON.into(), ControlNode::StatusJson),
                (VIEWS.into(), ControlNode::Views),
                (PROM.into(), ControlNode::Prom),
            ],
            ControlNode::Views => views()
                .map(|(id, view)| (OsString::from(&view.info().name), ControlNode::View(id)))
                .collect(),
            ControlNode::View(name) => {
                let schema = record_views().find(|(id, _)| *id == name);
                let schema = schema.map(|_| (SCHEMA.into(), ControlNode::Schema(name)));
                let help = (HELP.into(), ControlNode::Help(name));
                [help].into_iter().chain(schema).collect()
            }
            ControlNode::Prom => record_views()
                .map(|(id, view)| {
                    let name = format!("{}{PROM_SUFFIX}", view.info().name);
                    (name.into(), ControlNode::PromFile(id))
                })
                .collect(),
            ControlNode::Status
            | ControlNode::StatusJson
            | ControlNode::Help(_)
            | ControlNode::Schema(_)
            | ControlNode::PromFile(_) => Vec::new(),
        }
    }

    pub(in crate::fs) fn control_attributes(&self, node: ControlNode) -> Result<Attributes, Error> {
        let number = Node::Control(node).number().ok_or(Error::NoSuchNode)?;
        if !node.is_directory() {
            return Ok(self.content_attributes(number));
        }
        let children = self.control_children(node);
        let below = children.iter().filter(|(_, child)| child.is_directory());
        Ok(attr::directory(number, below.count(), self.started))
    }

    /// Makes the bytes of a file below `.cgview`.
    pub(in crate::fs) fn control_content(
        &self,
        node: ControlNode,
        reader: Reader,
        allowance: &mut Allowance<'_>,
    ) -> Result<Content, Error> {
        let bytes = match node {
            ControlNode::Help(name) => help(&*self.view_of_name(name)?),
            ControlNode::Schema(name) => {
                let view = self.view_of_name(name)?;
                view.plan().map(record::schema).ok_or(Error::Gone)?
            }
            ControlNode::PromFile(name) => {
                let view = self.view_of_name(name)?;
                return self.prometheus_of_all(&view, reader, allowance);
            }
            ControlNode::Status => self.status().text(),
            ControlNode::StatusJson => self.status().json(),
            ControlNode::Top | ControlNode::Views | ControlNode::View(_) | ControlNode::Prom => {
                return Err(Error::WrongKind);
            }
        };
        Ok(bytes.into())
    }

    /// The view of this name that is placed nearest to the root.
    fn view_of_name(&self, name: NameId) -> Result<Arc<View>, Error> {
        let mut views = self.catalog.all().into_iter();
        let found = views.find(|(id, _)| *id == name);
        found.map(|(_, view)| view).ok_or(Error::Gone)
    }
}

fn help(view: &View) -> Vec<u8> {
    match view.plan() {
        Some(plan) => record::help(plan),
        None => format!("{}\n", view.info().help).into_bytes(),
    }
}

/// A directory entry, unless the node has no inode number.
fn entry(name: OsString, node: Node) -> Option<Entry> {
    let is_file = matches!(node, Node::Control(control) if !control.is_directory());
    Some(Entry {
        number: node.number()?,
        kind: if is_file {
            FileType::RegularFile
        } else {
            FileType::Directory
        },
        name,
    })
}
