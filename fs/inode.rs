//! Inode numbers: which node a number stands for, and back, without a table. The number of a
//! cgroup's directory is the cgroup's id; the number of a file is computed from the cgroup's id,
//! the view's name and the form. No other module computes with inode numbers.
//!
//! All numbers are below 2^63, and those of listed files below 2^32 as long as there is room: a
//! 32-bit program without large-file support gets `EOVERFLOW` for a larger one. The kernel takes
//! the low half of a cgroup id from a counter below 2^31 and the high half from the counter's
//! wrap-arounds, so bit 31 is free to mark what is not a cgroup.
//!
//! ```text
//!                 bits 62..51  50..48  47..32    bit 31  30..27   26..12  11..0
//! cgroup          the id                         0       the id
//! compact file    0            0       0         1       name id  id (27 bits)
//! control node    0            0       0         1       15       kind    name id
//! wide file       name id + 1  form    id >> 32  1       id (31 bits)
//! ```

use fuser::INodeNo;

use crate::bpf::catalog::{MAX_NAMES, NameId};
use crate::mirror::CgroupId;

use super::form::Form;

/// Set in every number that is not a cgroup's.
const NOT_A_CGROUP: u64 = 1 << 31;
/// No number has this bit, so all are positive as signed numbers.
const SIGN: u64 = 1 << 63;

const COMPACT_NAME_SHIFT: u32 = 27;
const CONTROL: u64 = 15;

const KIND_SHIFT: u32 = 12;
const KIND_BITS: u32 = 15;

const NAME_BITS: u32 = 12;
const FORM_BITS: u32 = 3;
const HIGH_ID_BITS: u32 = 16;
const HIGH_ID_SHIFT: u32 = 32;
const FORM_SHIFT: u32 = HIGH_ID_SHIFT + HIGH_ID_BITS;
const NAME_SHIFT: u32 = FORM_SHIFT + FORM_BITS;

const _: () = assert!(NAME_SHIFT + NAME_BITS == 63);
const _: () = assert!(MAX_NAMES < 1 << NAME_BITS);
const _: () = assert!(Form::ALL.len() <= 1 << FORM_BITS);

/// What an inode number stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Node {
    /// A cgroup's directory.
    Cgroup(CgroupId),
    /// A view's file in a cgroup's directory.
    File(FileNode),
    /// A directory or file below `.cgview`.
    Control(ControlNode),
}

/// A view's file in a cgroup's directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct FileNode {
    pub(super) cgroup: CgroupId,
    pub(super) name: NameId,
    pub(super) form: Form,
}

/// A directory or file below `.cgview`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum ControlNode {
    /// `.cgview`
    Top,
    /// `.cgview/status`
    Status,
    /// `.cgview/status.json`
    StatusJson,
    /// `.cgview/views`
    Views,
    /// `.cgview/views/<view>`
    View(NameId),
    /// `.cgview/views/<view>/help`
    Help(NameId),
    /// `.cgview/views/<view>/schema.json`
    Schema(NameId),
    /// `.cgview/prom`
    Prom,
    /// `.cgview/prom/<view>.prom`
    PromFile(NameId),
}

impl Node {
    /// The inode number; `None` for a cgroup id or a name id that it has no room for.
    pub(super) fn number(self) -> Option<INodeNo> {
        match self {
            Node::Cgroup(id) => Some(id.0).filter(|id| id & (NOT_A_CGROUP | SIGN) == 0),
            Node::File(file) => file.number(),
            Node::Control(control) => control.number(),
        }
        .map(INodeNo)
    }

    /// Whether its content shows the cgroups of a whole subtree.
    pub(super) fn shows_subtree(self) -> bool {
        match self {
            Node::Cgroup(_) => false,
            Node::File(file) => file.form.is_subtree(),
            Node::Control(control) => matches!(control, ControlNode::PromFile(_)),
        }
    }

    /// Whether making its content may take long.
    pub(super) fn is_slow(self) -> bool {
        let is_status = matches!(
            self,
            Node::Control(ControlNode::Status | ControlNode::StatusJson)
        );
        is_status || self.shows_subtree()
    }

    /// The node of a number that the kernel sent. The mount's root has FUSE's number 1 and stands
    /// for the cgroup `root`.
    pub(super) fn of(number: INodeNo, root: CgroupId) -> Option<Node> {
        if number == INodeNo::ROOT {
            return Some(Node::Cgroup(root));
        }
        let bits = number.0;
        let node = if bits & NOT_A_CGROUP == 0 {
            Node::Cgroup(CgroupId(bits))
        } else if bits >> HIGH_ID_SHIFT != 0 {
            Node::File(FileNode::of_wide(bits)?)
        } else if field(bits, COMPACT_NAME_SHIFT, 4) == CONTROL {
            Node::Control(ControlNode::of(bits)?)
        } else {
            Node::File(FileNode::of_compact(bits))
        };
        // Each node has one number; bits that its number does not have stand for nothing.
        (node.number() == Some(number)).then_some(node)
    }
}

impl FileNode {
    fn number(self) -> Option<u64> {
        let (id, name) = (self.cgroup.0, u64::from(self.name.0));
        if self.form == Form::Plain && name < CONTROL && id >> COMPACT_NAME_SHIFT == 0 {
            return Some(NOT_A_CGROUP | name << COMPACT_NAME_SHIFT | id);
        }
        let high = id >> HIGH_ID_SHIFT;
        if id & NOT_A_CGROUP != 0
            || high >> HIGH_ID_BITS != 0
            || usize::from(self.name.0) >= MAX_NAMES
        {
            return None;
        }
        let form = u64::from(self.form.number());
        Some((name + 1) << NAME_SHIFT | form << FORM_SHIFT | id | NOT_A_CGROUP)
    }

    fn of_compact(bits: u64) -> FileNode {
        FileNode {
            cgroup: CgroupId(field(bits, 0, COMPACT_NAME_SHIFT)),
            name: NameId(field(bits, COMPACT_NAME_SHIFT, 4) as u16),
            form: Form::Plain,
        }
    }

    fn of_wide(bits: u64) -> Option<FileNode> {
        let high = field(bits, HIGH_ID_SHIFT, HIGH_ID_BITS);
        let low = field(bits, 0, 31);
        let name = field(bits, NAME_SHIFT, NAME_BITS).checked_sub(1)?;
        Some(FileNode {
            cgroup: CgroupId(high << HIGH_ID_SHIFT | low),
            name: NameId(u16::try_from(name).ok()?),
            form: Form::of_number(u8::try_from(field(bits, FORM_SHIFT, FORM_BITS)).ok()?)?,
        })
    }
}

impl ControlNode {
    fn number(self) -> Option<u64> {
        let (kind, name) = match self {
            ControlNode::Top => (0, 0),
            ControlNode::Status => (1, 0),
            ControlNode::StatusJson => (2, 0),
            ControlNode::Views => (3, 0),
            ControlNode::View(name) => (4, name.0),
            ControlNode::Help(name) => (5, name.0),
            ControlNode::Schema(name) => (6, name.0),
            ControlNode::Prom => (7, 0),
            ControlNode::PromFile(name) => (8, name.0),
        };
        let control = NOT_A_CGROUP | CONTROL << COMPACT_NAME_SHIFT;
        let number = control | kind << KIND_SHIFT | u64::from(name);
        (usize::from(name) < MAX_NAMES).then_some(number)
    }

    fn of(bits: u64) -> Option<ControlNode> {
        let name = NameId(field(bits, 0, NAME_BITS) as u16);
        match field(bits, KIND_SHIFT, KIND_BITS) {
            0 => Some(ControlNode::Top),
            1 => Some(ControlNode::Status),
            2 => Some(ControlNode::StatusJson),
            3 => Some(ControlNode::Views),
            4 => Some(ControlNode::View(name)),
            5 => Some(ControlNode::Help(name)),
            6 => Some(ControlNode::Schema(name)),
            7 => Some(ControlNode::Prom),
            8 => Some(ControlNode::PromFile(name)),
            _ => None,
        }
    }
}

/// `count` bits of a number, from the bit `shift` up.
const fn field(bits: u64, shift: u32, count: u32) -> u64 {
    bits >> shift & ((1 << count) - 1)
}

#[cfg(test)]
mod tests;
