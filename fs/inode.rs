//! Inode numbers. A directory's is the id of its cgroup, which is the promise; a view file's is
//! made of its cgroup's id, the view's name and the form, so that no table of what the kernel
//! remembers is needed. The only arithmetic on inode numbers.

use fuser::INodeNo;

use crate::bpf::catalog::{MAX_NAMES, NameId};
use crate::mirror::CgroupId;

use super::form::Form;

/// Where the number of a cgroup ends. The kernel would have to create 2^46 cgroups and cgroup
/// files to get there.
const ID_BITS: u32 = 46;
const FORM_BITS: u32 = 4;
const NAME_BITS: u32 = 12;
const FORM_SHIFT: u32 = ID_BITS;
const NAME_SHIFT: u32 = ID_BITS + FORM_BITS;
const CONTROL_FLAG: u64 = 1 << 62;
const FILE_FLAG: u64 = 1 << 63;

/// What an inode number stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Node {
    /// A cgroup's directory.
    Cgroup(CgroupId),
    /// A view's file in a cgroup's directory.
    File(FileNode),
    /// Something below `.cgview`.
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

impl ControlNode {
    fn encode(self) -> u64 {
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
        CONTROL_FLAG | kind << NAME_BITS | u64::from(name)
    }

    fn decode(number: u64) -> Option<ControlNode> {
        let name = NameId((number & low_bits(NAME_BITS)) as u16);
        match (number & !CONTROL_FLAG) >> NAME_BITS {
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

const fn low_bits(count: u32) -> u64 {
    (1 << count) - 1
}

impl Node {
    /// The number, `None` for a cgroup id that leaves no room beside it.
    pub(super) fn number(self) -> Option<INodeNo> {
        let number = match self {
            Node::Cgroup(id) => Some(id.0).filter(|id| id & (FILE_FLAG | CONTROL_FLAG) == 0),
            Node::File(file) => Some(file.cgroup.0)
                .filter(|id| id >> ID_BITS == 0)
                .filter(|_| usize::from(file.name.0) < MAX_NAMES)
                .map(|id| {
                    let form = u64::from(file.form.number()) << FORM_SHIFT;
                    FILE_FLAG | u64::from(file.name.0) << NAME_SHIFT | form | id
                }),
            Node::Control(control) => Some(control.encode()),
        };
        number.map(INodeNo)
    }

    /// What a number from the kernel stands for. The mount's root has FUSE's number 1 and stands
    /// for the cgroup `root`.
    pub(super) fn of(number: INodeNo, root: CgroupId) -> Option<Node> {
        if number == INodeNo::ROOT {
            return Some(Node::Cgroup(root));
        }
        let number = number.0;
        if number & FILE_FLAG != 0 {
            return Some(Node::File(FileNode {
                cgroup: CgroupId(number & low_bits(ID_BITS)),
                form: Form::of_number((number >> FORM_SHIFT & low_bits(FORM_BITS)) as u8)?,
                name: NameId((number >> NAME_SHIFT & low_bits(NAME_BITS)) as u16),
            }));
        }
        if number & CONTROL_FLAG != 0 {
            return ControlNode::decode(number).map(Node::Control);
        }
        Some(Node::Cgroup(CgroupId(number)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: CgroupId = CgroupId(1);

    #[test]
    fn every_node_survives_the_way_to_the_kernel_and_back() {
        let name = NameId(4094);
        let mut nodes = vec![Node::Cgroup(CgroupId(2)), Node::Cgroup(CgroupId(1 << 40))];
        for form in Form::ALL {
            nodes.push(Node::File(FileNode {
                cgroup: CgroupId(low_bits(ID_BITS)),
                name,
                form,
            }));
        }
        for control in [
            ControlNode::Top,
            ControlNode::Status,
            ControlNode::StatusJson,
            ControlNode::Views,
            ControlNode::View(name),
            ControlNode::Help(name),
            ControlNode::Schema(name),
            ControlNode::Prom,
            ControlNode::PromFile(name),
        ] {
            nodes.push(Node::Control(control));
        }
        for node in nodes {
            let number = node.number().expect("has a number");
            assert_eq!(Node::of(number, ROOT), Some(node));
        }
    }

    #[test]
    fn the_mount_root_is_the_source() {
        let source = CgroupId(77);
        assert_eq!(Node::of(INodeNo::ROOT, source), Some(Node::Cgroup(source)));
    }

    #[test]
    fn an_id_beyond_the_space_has_no_files() {
        let file = FileNode {
            cgroup: CgroupId(1 << ID_BITS),
            name: NameId(0),
            form: Form::Plain,
        };
        assert_eq!(Node::File(file).number(), None);
    }
}
