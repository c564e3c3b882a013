//! The tree on invented listings.

use std::path::Path;

use super::*;

const ROOT: CgroupId = CgroupId(1);

/// A listing written as `[("name", id)]`.
fn listing(entries: &[(&str, u64)]) -> Vec<(OsString, CgroupId)> {
    let entry = |&(name, id): &(&str, u64)| (name.into(), CgroupId(id));
    entries.iter().map(entry).collect()
}

fn appeared(id: u64, parent: u64, name: &str) -> Change {
    Change::appeared(CgroupId(id), CgroupId(parent), name.as_ref())
}

fn gone(id: u64, parent: u64, name: &str) -> Change {
    Change::Gone {
        id: CgroupId(id),
        parent: CgroupId(parent),
        name: name.into(),
    }
}

/// `/a` 2, `/a/b` 3, `/a/b/c` 4, `/d` 5.
fn small() -> Tree {
    let mut tree = Tree::new(ROOT);
    tree.reconcile(ROOT, &listing(&[("a", 2), ("d", 5)]), &[]);
    tree.reconcile(CgroupId(2), &listing(&[("b", 3)]), &[]);
    tree.reconcile(CgroupId(3), &listing(&[("c", 4)]), &[]);
    tree
}

#[test]
fn root_has_an_empty_path_and_no_parent() {
    let tree = Tree::new(ROOT);
    assert_eq!(tree.path(ROOT).unwrap(), Path::new(""));
    assert_eq!(tree.parent(ROOT), None);
    assert_eq!(tree.ancestors(ROOT), Some(vec![ROOT]));
    assert_eq!(tree.len(), 1);
}

#[test]
fn paths_and_ancestors_lead_to_the_root() {
    let tree = small();
    assert_eq!(tree.path(CgroupId(4)).unwrap(), Path::new("a/b/c"));
    let ancestors = [4, 3, 2, 1].map(CgroupId).to_vec();
    assert_eq!(tree.ancestors(CgroupId(4)), Some(ancestors));
    assert_eq!(tree.path(CgroupId(9)), None);
    assert_eq!(tree.ancestors(CgroupId(9)), None);
}

#[test]
fn cgroups_are_found_by_name_wherever_they_are() {
    let mut tree = small();
    tree.reconcile(CgroupId(5), &listing(&[("b", 6)]), &[]);
    let closed = BTreeMap::new();
    let mut found = tree.find(|name| name == "b", &closed);
    found.sort();
    assert_eq!(found, [Path::new("a/b"), Path::new("d/b")]);
    assert!(tree.find(OsStr::is_empty, &closed).is_empty());
    let closed = BTreeMap::from([(CgroupId(5), Access::Nobody)]);
    assert_eq!(tree.find(|name| name == "b", &closed), [Path::new("a/b")]);
}

#[test]
fn listed_cgroup_appears_once() {
    let mut tree = Tree::new(ROOT);
    let seen = listing(&[("a", 2)]);
    assert_eq!(tree.reconcile(ROOT, &seen, &[]), [appeared(2, 1, "a")]);
    assert_eq!(tree.reconcile(ROOT, &seen, &[]), []);
}

#[test]
fn removed_cgroup_is_gone_after_its_descendants() {
    let mut tree = small();
    assert_eq!(
        tree.reconcile(ROOT, &[], &[CgroupId(2)]),
        [gone(4, 3, "c"), gone(3, 2, "b"), gone(2, 1, "a")]
    );
    assert_eq!(tree.len(), 2);
    assert_eq!(tree.absent(ROOT, &[]), [CgroupId(5)]);
    assert_eq!(tree.reconcile(ROOT, &[], &[CgroupId(2)]), []);
}

#[test]
fn removed_cgroup_is_gone_before_its_name_appears_again() {
    let mut tree = small();
    let now = listing(&[("d", 7)]);
    let displaced = tree.displaced(ROOT, "d".as_ref(), Some(CgroupId(7)));
    assert_eq!(displaced, [CgroupId(5)]);
    assert_eq!(
        tree.reconcile(ROOT, &now, &displaced),
        [gone(5, 1, "d"), appeared(7, 1, "d")]
    );
    assert_eq!(tree.path(CgroupId(7)).unwrap(), Path::new("d"));
}

#[test]
fn absent_children_are_the_known_ones_not_listed() {
    let tree = small();
    assert_eq!(tree.absent(ROOT, &listing(&[("d", 5)])), [CgroupId(2)]);
    assert_eq!(tree.absent(ROOT, &listing(&[("a", 2), ("d", 5)])), []);
    assert_eq!(tree.absent(CgroupId(9), &[]), []);
}

#[test]
fn missing_cgroup_that_is_not_gone_stays() {
    let mut tree = small();
    assert_eq!(tree.reconcile(ROOT, &listing(&[("d", 5)]), &[]), []);
    assert!(tree.contains(CgroupId(4)));
}

#[test]
fn learned_cgroup_has_a_path_and_appears_once() {
    let mut tree = small();
    let name = OsStr::new("new");
    let id = CgroupId(8);
    assert_eq!(tree.learn(CgroupId(2), name, id), Learned::Differs);
    assert!(!tree.knows(CgroupId(2), name, id));
    assert_eq!(tree.path(id).unwrap(), Path::new("a/new"));

    let now = listing(&[("new", 8)]);
    let changes = tree.reconcile(CgroupId(2), &now, &[]);
    assert_eq!(changes, [appeared(8, 2, "new")]);
    assert_eq!(tree.learn(CgroupId(2), name, id), Learned::Known);
    assert_eq!(tree.reconcile(CgroupId(2), &now, &[]), []);
}

#[test]
fn learned_cgroup_that_never_appeared_is_reported_gone() {
    let mut tree = small();
    tree.learn(ROOT, "d".as_ref(), CgroupId(6));
    tree.learn(ROOT, "d".as_ref(), CgroupId(7));
    let mut displaced = tree.displaced(ROOT, "d".as_ref(), None);
    displaced.sort();
    assert_eq!(displaced, [5, 6, 7].map(CgroupId));
    assert_eq!(
        tree.reconcile(ROOT, &[], &displaced),
        [gone(5, 1, "d"), gone(6, 1, "d"), gone(7, 1, "d")]
    );
}

#[test]
fn nothing_is_learned_below_an_unknown_parent() {
    let mut tree = small();
    let learned = tree.learn(CgroupId(99), "x".as_ref(), CgroupId(100));
    assert_eq!(learned, Learned::NoParent);
    assert!(!tree.contains(CgroupId(100)));
    assert_eq!(
        tree.reconcile(CgroupId(99), &listing(&[("x", 100)]), &[]),
        []
    );
    assert!(!tree.contains(CgroupId(100)));
}

#[test]
fn learning_another_name_asks_for_a_check_and_changes_nothing() {
    let mut tree = small();
    let learned = tree.learn(ROOT, "renamed".as_ref(), CgroupId(2));
    assert_eq!(learned, Learned::Differs);
    assert_eq!(tree.path(CgroupId(3)).unwrap(), Path::new("a/b"));
}

#[test]
fn rename_carries_both_names_and_keeps_the_descendants() {
    let mut tree = small();
    let renamed = Change::Renamed {
        id: CgroupId(2),
        parent: ROOT,
        old_name: "a".into(),
        new_name: "z".into(),
    };
    assert_eq!(tree.reconcile(ROOT, &listing(&[("z", 2)]), &[]), [renamed]);
    assert_eq!(tree.path(CgroupId(4)).unwrap(), Path::new("z/b/c"));
    assert_eq!(tree.renames(), 1);
    assert_eq!(tree.displaced(ROOT, "a".as_ref(), None), []);
    assert_eq!(tree.displaced(ROOT, "z".as_ref(), None), [CgroupId(2)]);
}

#[test]
fn root_is_never_put_below_itself() {
    let mut tree = small();
    assert_eq!(tree.reconcile(CgroupId(3), &listing(&[("x", 1)]), &[]), []);
    assert_eq!(tree.path(ROOT).unwrap(), Path::new(""));
}

#[test]
fn removed_root_leaves_an_empty_tree() {
    let mut tree = small();
    let changes = tree.reconcile(ROOT, &[], &[ROOT]);
    assert_eq!(changes.last(), Some(&gone(1, 1, "")));
    assert_eq!(changes.len(), 5);
    assert_eq!(tree.len(), 0);
    assert_eq!(tree.ids(), []);
}

#[test]
fn subtree_lists_parents_before_children() {
    let found = small().subtree(CgroupId(2));
    assert_eq!(found, [2, 3, 4].map(CgroupId));
}

#[test]
fn churn_over_few_names_leaves_nothing_behind() {
    let mut tree = Tree::new(ROOT);
    for id in 2..20_002 {
        let name = ["a", "b", "c", "d"][id as usize % 4];
        let displaced = tree.displaced(ROOT, name.as_ref(), Some(CgroupId(id)));
        let changes = tree.reconcile(ROOT, &listing(&[(name, id)]), &displaced);
        assert_eq!(changes.len(), 1 + displaced.len());
    }
    assert_eq!((tree.cgroups.len(), tree.children.len()), (5, 4));
}
