//! The cgroup tree as last seen: who is whose child, under which name. Pure and without I/O;
//! what cgroupfs holds and when to ask it is others' business.
//!
//! Keyed by cgroup id. Two ids may bear one name for a while: a cgroup removed and made again
//! that a lookup met before the removal was noticed.

use std::collections::{BTreeSet, HashMap};
use std::ffi::{OsStr, OsString};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;

use foldhash::fast::FixedState;

use super::{CgroupId, Change};

struct Node {
    parent: CgroupId,
    name: Box<OsStr>,
    /// False for what only a lookup has met: no `Appeared` has told of it yet.
    announced: bool,
}

impl Node {
    fn is_at(&self, parent: CgroupId, name: &OsStr) -> bool {
        self.parent == parent && *self.name == *name
    }
}

/// What [`Tree::learn`] found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Learned {
    /// The tree said the same already.
    Known,
    /// Something here has changed: the name needs another look.
    News,
    /// The tree does not hold the parent, so nothing was learned.
    NoParent,
}

/// The tree below one root cgroup.
pub(super) struct Tree {
    root: CgroupId,
    /// A subtree read looks every one up: the ids are the kernel's, so no defence against chosen
    /// keys is paid for.
    nodes: HashMap<CgroupId, Node, FixedState>,
    /// (parent, hash of the name, child): one ordered set in place of a map in every node, a
    /// third of the memory, since most cgroups are leaves.
    children: BTreeSet<(CgroupId, u64, CgroupId)>,
    renames: u64,
}

impl Tree {
    /// A tree of `root` alone.
    pub(super) fn new(root: CgroupId) -> Tree {
        let node = Node {
            parent: root,
            name: OsString::new().into_boxed_os_str(),
            announced: true,
        };
        Tree {
            root,
            nodes: HashMap::from_iter([(root, node)]),
            children: BTreeSet::new(),
            renames: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    pub(super) fn contains(&self, id: CgroupId) -> bool {
        self.nodes.contains_key(&id)
    }

    /// The parent of `id`; `None` for the root and for what the tree does not hold.
    pub(super) fn parent(&self, id: CgroupId) -> Option<CgroupId> {
        let node = self.nodes.get(&id)?;
        (id != self.root).then_some(node.parent)
    }

    /// The name of `id` in its parent.
    pub(super) fn name(&self, id: CgroupId) -> Option<&OsStr> {
        self.nodes.get(&id).map(|node| &*node.name)
    }

    /// How often a cgroup got another name.
    pub(super) fn renames(&self) -> u64 {
        self.renames
    }

    /// `id` and what lies above it, up to the root.
    pub(super) fn ancestors(&self, id: CgroupId) -> Option<Vec<CgroupId>> {
        self.nodes.get(&id)?;
        Some(std::iter::successors(Some(id), |&at| self.parent(at)).collect())
    }

    /// The path of `id` below the root, empty for the root itself.
    pub(super) fn path(&self, id: CgroupId) -> Option<PathBuf> {
        let line = self.ancestors(id)?;
        let below_root = line.iter().rev().skip(1);
        below_root
            .map(|id| self.nodes.get(id).map(|node| &*node.name))
            .collect()
    }

    /// The paths of all below the root whose name is `wanted`.
    pub(super) fn find(&self, wanted: impl Fn(&OsStr) -> bool) -> Vec<PathBuf> {
        let nodes = self.nodes.iter().filter(|(id, _)| **id != self.root);
        nodes
            .filter(|(_, node)| wanted(&node.name))
            .filter_map(|(id, _)| self.path(*id))
            .collect()
    }

    /// All that the tree holds.
    pub(super) fn ids(&self) -> Vec<CgroupId> {
        self.nodes.keys().copied().collect()
    }

    /// `id` and all below it, each after its parent.
    pub(super) fn subtree(&self, id: CgroupId) -> Vec<CgroupId> {
        let mut found = vec![id];
        let mut next = 0;
        while let Some(&dir) = found.get(next) {
            found.extend(self.children_of(dir));
            next += 1;
        }
        found
    }

    /// The cgroups that were seen below `dir`, but are not in its `listing`.
    pub(super) fn absent(&self, dir: CgroupId, listing: &[(OsString, CgroupId)]) -> Vec<CgroupId> {
        let present: BTreeSet<CgroupId> = listing.iter().map(|&(_, id)| id).collect();
        self.children_of(dir)
            .filter(|id| !present.contains(id))
            .collect()
    }

    /// The cgroups that were seen as `name` in `dir`, but for the one that is there now.
    pub(super) fn displaced(
        &self,
        dir: CgroupId,
        name: &OsStr,
        present: Option<CgroupId>,
    ) -> Vec<CgroupId> {
        let hash = hash_of(name);
        self.children
            .range((dir, hash, CgroupId::MIN)..=(dir, hash, CgroupId::MAX))
            .map(|&(_, _, id)| id)
            .filter(|&id| Some(id) != present && self.is_at(id, dir, name))
            .collect()
    }

    /// Takes in what a lookup has found. Takes nothing back: only a look at the directory may
    /// say what is gone.
    pub(super) fn learn(&mut self, parent: CgroupId, name: &OsStr, id: CgroupId) -> Learned {
        if !self.contains(parent) {
            return Learned::NoParent;
        }
        match self.nodes.get(&id) {
            None => self.insert(parent, name, id, false),
            Some(_) if self.knows(parent, name, id) => return Learned::Known,
            Some(_) => {}
        }
        Learned::News
    }

    /// Whether the tree has `id`, announced, under this very name.
    pub(super) fn knows(&self, parent: CgroupId, name: &OsStr, id: CgroupId) -> bool {
        self.nodes
            .get(&id)
            .is_some_and(|node| node.announced && node.is_at(parent, name))
    }

    /// Brings `dir` up to what cgroupfs showed there: `present` is in it, `dead` is no more.
    ///
    /// The changes are in order: a cgroup goes after those below it and before another takes its
    /// name. What is neither present nor dead stays.
    pub(super) fn reconcile(
        &mut self,
        dir: CgroupId,
        present: &[(OsString, CgroupId)],
        dead: &[CgroupId],
    ) -> Vec<Change> {
        let mut changes = Vec::new();
        for &id in dead {
            self.forget(id, &mut changes);
        }
        if self.contains(dir) {
            for (name, id) in present {
                changes.extend(self.place(dir, name, *id));
            }
        }
        changes
    }

    fn place(&mut self, parent: CgroupId, name: &OsStr, id: CgroupId) -> Option<Change> {
        let Some(node) = self.nodes.get_mut(&id) else {
            self.insert(parent, name, id, true);
            return Some(Change::appeared(id, parent, name));
        };
        let announced = std::mem::replace(&mut node.announced, true);
        if !self.is_at(id, parent, name) {
            return self.rename(parent, name, id);
        }
        (!announced).then(|| Change::appeared(id, parent, name))
    }

    fn rename(&mut self, parent: CgroupId, name: &OsStr, id: CgroupId) -> Option<Change> {
        // A root is never its own descendant; taking it for one would close a loop.
        if id == self.root {
            return None;
        }
        let was = self.unlink(id)?;
        self.renames += 1;
        self.insert(parent, name, id, true);
        Some(Change::Renamed {
            id,
            parent: was.parent,
            name: was.name.into_os_string(),
        })
    }

    /// Forgets `id` and all below it. The kernel removes no cgroup that has children, so a dead
    /// cgroup's descendants are dead too.
    fn forget(&mut self, id: CgroupId, changes: &mut Vec<Change>) {
        for id in self.subtree(id).into_iter().rev() {
            if let Some(node) = self.unlink(id) {
                changes.push(Change::Gone {
                    id,
                    parent: node.parent,
                    name: node.name.into_os_string(),
                });
            }
        }
    }

    fn children_of(&self, dir: CgroupId) -> impl Iterator<Item = CgroupId> {
        self.children
            .range((dir, u64::MIN, CgroupId::MIN)..=(dir, u64::MAX, CgroupId::MAX))
            .map(|&(_, _, id)| id)
    }

    fn is_at(&self, id: CgroupId, parent: CgroupId, name: &OsStr) -> bool {
        self.nodes
            .get(&id)
            .is_some_and(|node| node.is_at(parent, name))
    }

    fn insert(&mut self, parent: CgroupId, name: &OsStr, id: CgroupId, announced: bool) {
        self.children.insert((parent, hash_of(name), id));
        let name = name.into();
        self.nodes.insert(
            id,
            Node {
                parent,
                name,
                announced,
            },
        );
    }

    fn unlink(&mut self, id: CgroupId) -> Option<Node> {
        let node = self.nodes.remove(&id)?;
        self.children
            .remove(&(node.parent, hash_of(&node.name), id));
        Some(node)
    }
}

fn hash_of(name: &OsStr) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
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
    fn the_root_has_an_empty_path_and_no_parent() {
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
        let line = [4, 3, 2, 1].map(CgroupId).to_vec();
        assert_eq!(tree.ancestors(CgroupId(4)), Some(line));
        assert_eq!(tree.path(CgroupId(9)), None);
        assert_eq!(tree.ancestors(CgroupId(9)), None);
    }

    #[test]
    fn cgroups_are_found_by_name_wherever_they_are() {
        let mut tree = small();
        tree.reconcile(CgroupId(5), &listing(&[("b", 6)]), &[]);
        let mut found = tree.find(|name| name == "b");
        found.sort();
        assert_eq!(found, [Path::new("a/b"), Path::new("d/b")]);
        assert!(tree.find(OsStr::is_empty).is_empty());
    }

    #[test]
    fn what_is_listed_first_appears_and_then_is_known() {
        let mut tree = Tree::new(ROOT);
        let seen = listing(&[("a", 2)]);
        assert_eq!(tree.reconcile(ROOT, &seen, &[]), [appeared(2, 1, "a")]);
        assert_eq!(tree.reconcile(ROOT, &seen, &[]), []);
    }

    #[test]
    fn the_dead_go_with_all_below_them_children_first() {
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
    fn a_name_made_again_goes_before_it_appears() {
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
    fn absent_is_what_was_seen_here_and_is_not_listed() {
        let tree = small();
        assert_eq!(tree.absent(ROOT, &listing(&[("d", 5)])), [CgroupId(2)]);
        assert_eq!(tree.absent(ROOT, &listing(&[("a", 2), ("d", 5)])), []);
        assert_eq!(tree.absent(CgroupId(9), &[]), []);
    }

    #[test]
    fn a_missing_one_that_is_not_dead_stays() {
        let mut tree = small();
        assert_eq!(tree.reconcile(ROOT, &listing(&[("d", 5)]), &[]), []);
        assert!(tree.contains(CgroupId(4)));
    }

    #[test]
    fn a_learned_cgroup_has_a_path_and_appears_once() {
        let mut tree = small();
        let name = OsStr::new("new");
        let id = CgroupId(8);
        assert_eq!(tree.learn(CgroupId(2), name, id), Learned::News);
        assert!(!tree.knows(CgroupId(2), name, id));
        assert_eq!(tree.path(id).unwrap(), Path::new("a/new"));

        let now = listing(&[("new", 8)]);
        let told = tree.reconcile(CgroupId(2), &now, &[]);
        assert_eq!(told, [appeared(8, 2, "new")]);
        assert_eq!(tree.learn(CgroupId(2), name, id), Learned::Known);
        assert_eq!(tree.reconcile(CgroupId(2), &now, &[]), []);
    }

    #[test]
    fn a_learned_cgroup_that_never_appeared_still_goes() {
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
    fn nothing_is_learned_below_a_stranger() {
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
    fn learning_another_name_asks_for_a_look_and_changes_nothing() {
        let mut tree = small();
        let learned = tree.learn(ROOT, "renamed".as_ref(), CgroupId(2));
        assert_eq!(learned, Learned::News);
        assert_eq!(tree.path(CgroupId(3)).unwrap(), Path::new("a/b"));
    }

    #[test]
    fn a_rename_keeps_what_is_below() {
        let mut tree = small();
        let renamed = Change::Renamed {
            id: CgroupId(2),
            parent: ROOT,
            name: "a".into(),
        };
        assert_eq!(tree.reconcile(ROOT, &listing(&[("z", 2)]), &[]), [renamed]);
        assert_eq!(tree.path(CgroupId(4)).unwrap(), Path::new("z/b/c"));
        assert_eq!(tree.renames(), 1);
        assert_eq!(tree.displaced(ROOT, "a".as_ref(), None), []);
        assert_eq!(tree.displaced(ROOT, "z".as_ref(), None), [CgroupId(2)]);
    }

    #[test]
    fn the_root_is_never_placed_below_itself() {
        let mut tree = small();
        assert_eq!(tree.reconcile(CgroupId(3), &listing(&[("x", 1)]), &[]), []);
        assert_eq!(tree.path(ROOT).unwrap(), Path::new(""));
    }

    #[test]
    fn a_dead_root_leaves_nothing() {
        let mut tree = small();
        let changes = tree.reconcile(ROOT, &[], &[ROOT]);
        assert_eq!(changes.last(), Some(&gone(1, 1, "")));
        assert_eq!(changes.len(), 5);
        assert_eq!(tree.len(), 0);
        assert_eq!(tree.ids(), []);
    }

    #[test]
    fn a_subtree_lists_parents_before_children() {
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
        assert_eq!((tree.nodes.len(), tree.children.len()), (5, 4));
    }
}
