//! `.cgview` at the root of the mount: what the views are, and Prometheus files of the whole tree.

use std::ffi::{OsStr, OsString};

use fuser::{FileType, INodeNo};

mod status;

use crate::bpf::catalog::NameId;
use crate::bpf::record as render;
use crate::bpf::run::View;

use super::errno::Error;
use super::inode::{ControlNode, Node};
use super::open::Entry;
use super::{CgviewFs, Found, attr};

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

    fn number(self) -> INodeNo {
        Node::Control(self).number().unwrap_or(INodeNo::ROOT)
    }
}

impl CgviewFs {
    pub(in crate::fs) fn control_entry(&self) -> Entry {
        entry(NAME, ControlNode::Top)
    }

    /// The children of a directory, with their names.
    fn control_children(&self, of: ControlNode) -> Vec<(OsString, ControlNode)> {
        let records = || {
            let all = self.catalog.all().into_iter();
            all.filter(|(_, view)| view.plan().is_some())
        };
        match of {
            ControlNode::Top => vec![
                (STATUS.into(), ControlNode::Status),
                (STATUS_JSON.into(), ControlNode::StatusJson),
                (VIEWS.into(), ControlNode::Views),
                (PROM.into(), ControlNode::Prom),
            ],
            ControlNode::Views => {
                let all = self.catalog.all().into_iter();
                all.map(|(id, view)| (OsString::from(&view.info().name), ControlNode::View(id)))
                    .collect()
            }
            ControlNode::View(name) => {
                let mut children = vec![(HELP.into(), ControlNode::Help(name))];
                if records().any(|(id, _)| id == name) {
                    children.push((SCHEMA.into(), ControlNode::Schema(name)));
                }
                children
            }
            ControlNode::Prom => records()
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

    pub(in crate::fs) fn control_child(
        &self,
        parent: ControlNode,
        name: &OsStr,
    ) -> Result<ControlNode, Error> {
        let children = self.control_children(parent);
        let child = children.into_iter().find(|(child, _)| child == name);
        child.map(|(_, node)| node).ok_or(Error::NoSuchName)
    }

    pub(in crate::fs) fn control_entries(&self, of: ControlNode) -> Result<Vec<Entry>, Error> {
        let mut entries = vec![entry(".", of), entry("..", of)];
        let children = self.control_children(of);
        entries.extend(children.into_iter().map(|(name, node)| Entry {
            name,
            ..entry("", node)
        }));
        Ok(entries)
    }

    pub(in crate::fs) fn control_attr(&self, node: ControlNode) -> Result<Found, Error> {
        if node.is_directory() {
            let mut attr = attr::directory(node.number(), self.started);
            let children = self.control_children(node);
            let below = children.iter().filter(|(_, child)| child.is_directory());
            attr.nlink += u32::try_from(below.count()).unwrap_or(u32::MAX);
            let attr_ttl = attr::DIRECTORY_TTL;
            return Ok(Found { attr, attr_ttl });
        }
        Ok(self.content_attr(node.number()))
    }

    pub(in crate::fs) fn control_content(&self, node: ControlNode) -> Result<Vec<u8>, Error> {
        match node {
            ControlNode::Help(name) => self.help(name),
            ControlNode::Schema(name) => {
                let view = self.named(name)?;
                view.plan().map(render::schema).ok_or(Error::Stale)
            }
            ControlNode::PromFile(name) => {
                let view = self.named(name)?;
                self.prometheus_of_all(&view)
            }
            ControlNode::Status => Ok(self.status().text()),
            ControlNode::StatusJson => Ok(self.status().json()),
            ControlNode::Top | ControlNode::Views | ControlNode::View(_) | ControlNode::Prom => {
                Err(Error::WrongKind)
            }
        }
    }

    fn help(&self, name: NameId) -> Result<Vec<u8>, Error> {
        let view = self.named(name)?;
        Ok(match view.plan() {
            Some(plan) => render::help(plan),
            None => format!("{}\n", view.info().help).into_bytes(),
        })
    }

    fn named(&self, name: NameId) -> Result<std::sync::Arc<View>, Error> {
        let all = self.catalog.all().into_iter();
        let mut with_name = all.filter(|(id, _)| *id == name);
        with_name.next().map(|(_, view)| view).ok_or(Error::Stale)
    }
}

fn entry(name: &str, node: ControlNode) -> Entry {
    Entry {
        number: node.number(),
        kind: if node.is_directory() {
            FileType::Directory
        } else {
            FileType::RegularFile
        },
        name: name.into(),
    }
}
