use super::*;

const ROOT: CgroupId = CgroupId(1);
/// The kernel's limit for the low half of an id.
const MAX_LOW: u64 = (1 << 31) - 1;

/// Ids around every limit of the encoding.
fn edge_ids() -> Vec<u64> {
    let highs = [0, 1, 0x7fff, 0x8000, 0xffff];
    let lows = [
        2,
        3,
        (1 << 27) - 1,
        1 << 27,
        (1 << 27) + 1,
        MAX_LOW - 1,
        MAX_LOW,
    ];
    let ids = highs.map(|high| lows.map(|low| high << 32 | low));
    ids.into_iter().flatten().collect()
}

fn edge_names() -> impl Iterator<Item = NameId> {
    [0, 1, 13, 14, 15, 16, 255, 256, 4093, 4094]
        .into_iter()
        .map(NameId)
}

fn control_nodes(name: NameId) -> [ControlNode; 9] {
    [
        ControlNode::Top,
        ControlNode::Status,
        ControlNode::StatusJson,
        ControlNode::Views,
        ControlNode::View(name),
        ControlNode::Help(name),
        ControlNode::Schema(name),
        ControlNode::Prom,
        ControlNode::PromFile(name),
    ]
}

fn file(cgroup: u64, name: NameId, form: Form) -> FileNode {
    let cgroup = CgroupId(cgroup);
    FileNode { cgroup, name, form }
}

fn number(node: Node) -> u64 {
    let number = node.number();
    number.unwrap_or_else(|| panic!("{node:?} has no number")).0
}

/// All nodes at the edges; the same node may come twice.
fn edge_nodes() -> Vec<Node> {
    let mut nodes: Vec<Node> = edge_ids()
        .into_iter()
        .map(|id| Node::Cgroup(CgroupId(id)))
        .collect();
    for name in edge_names() {
        nodes.extend(control_nodes(name).map(Node::Control));
        for id in edge_ids() {
            nodes.extend(Form::ALL.map(|form| Node::File(file(id, name, form))));
        }
    }
    nodes
}

#[test]
fn every_node_is_found_again_by_its_number() {
    for node in edge_nodes() {
        let number = number(node);
        assert_eq!(Node::of(INodeNo(number), ROOT), Some(node), "{number:#x}");
    }
}

#[test]
fn no_two_nodes_share_a_number_and_none_is_negative() {
    let mut numbers = std::collections::HashMap::new();
    for node in edge_nodes() {
        let number = number(node);
        assert!(number.cast_signed() > 0, "{node:?}: {number:#x}");
        let other = numbers.insert(number, node);
        assert!(
            other.is_none_or(|other| other == node),
            "{node:?} {other:?}"
        );
    }
}

#[test]
fn listed_nodes_fit_32_bits() {
    for name in edge_names() {
        for node in control_nodes(name) {
            assert!(number(Node::Control(node)) >> 32 == 0, "{node:?}");
        }
    }
    for name in (0..15).map(NameId) {
        let last = file((1 << 27) - 1, name, Form::Plain);
        assert!(number(Node::File(last)) >> 32 == 0, "{last:?}");
    }
    assert!(number(Node::Cgroup(CgroupId(MAX_LOW))) >> 32 == 0);
}

#[test]
fn a_wide_number_is_never_taken_for_a_compact_one() {
    for node in edge_nodes() {
        let Node::File(file) = node else { continue };
        let compact = file.form == Form::Plain && file.name.0 < 15 && file.cgroup.0 < 1 << 27;
        assert_eq!(number(node) >> 32 == 0, compact, "{file:?}");
    }
}

#[test]
fn what_leaves_no_room_has_no_number() {
    for (id, name) in [(1 << 48, 0), (1 << 63, 0), (1 << 31, 20), (2, 4095)] {
        let file = file(id, NameId(name), Form::Json);
        assert_eq!(Node::File(file).number(), None, "{file:?}");
    }
    let control = Node::Control(ControlNode::Help(NameId(4095)));
    assert_eq!(control.number(), None);
    for id in [1 << 31, 1 << 63, u64::MAX] {
        assert_eq!(Node::Cgroup(CgroupId(id)).number(), None);
    }
}

#[test]
fn a_number_that_is_not_the_nodes_own_stands_for_nothing() {
    let name = NameId(3);
    let wide_spelling_of_a_compact_file = 4 << NAME_SHIFT | NOT_A_CGROUP | 77;
    let name_on_a_nameless_node = number(Node::Control(ControlNode::Top)) | 1;
    let unknown_kind = number(Node::Control(ControlNode::View(name))) | 0x7fff << KIND_SHIFT;
    let unknown_form = 4 << NAME_SHIFT | 7 << FORM_SHIFT | NOT_A_CGROUP | 77;
    let no_name = 1 << FORM_SHIFT | NOT_A_CGROUP | 77;
    for number in [
        wide_spelling_of_a_compact_file,
        name_on_a_nameless_node,
        unknown_kind,
        unknown_form,
        no_name,
        u64::MAX,
        SIGN | 77,
    ] {
        assert_eq!(Node::of(INodeNo(number), ROOT), None, "{number:#x}");
    }
}

#[test]
fn the_mounts_root_is_the_source() {
    let source = CgroupId(77);
    assert_eq!(Node::of(INodeNo::ROOT, source), Some(Node::Cgroup(source)));
}
