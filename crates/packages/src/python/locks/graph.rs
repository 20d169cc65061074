//! The packages that a project's own requirements lead to, and when each is wanted.

use std::collections::{BTreeMap, VecDeque};

use super::Refusal;
use super::condition::Condition;

/// Bound on the work for one lock: combined alternatives.
const WORK_MAX: usize = 500_000;

/// A package by its place in the lock, or one of its extras.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Node {
    pub(super) package: usize,
    pub(super) extra: Option<String>,
}

/// A requirement that has been found in the lock.
#[derive(Clone, Debug)]
pub(super) struct Edge {
    pub(super) to: Node,
    pub(super) when: Condition,
}

/// When each package is wanted: under any of the ways that lead to it, each of which holds as a whole. Circles end, since
/// conditions only grow.
pub(super) fn reach(
    roots: Vec<Edge>,
    requirements: impl Fn(&Node) -> Result<Vec<Edge>, Refusal>,
) -> Result<BTreeMap<usize, Condition>, Refusal> {
    let mut wanted: BTreeMap<Node, Condition> = BTreeMap::new();
    let mut known: BTreeMap<Node, Vec<Edge>> = BTreeMap::new();
    let mut waiting: VecDeque<Edge> = roots.into();
    let mut work = 0_usize;
    while let Some(Edge { to, when }) = waiting.pop_front() {
        let before = wanted.get(&to).cloned().unwrap_or_else(Condition::never);
        let now = before.or(&when).map_err(|_| too_complex())?;
        if now == before {
            continue;
        }
        wanted.insert(to.clone(), now.clone());
        if !known.contains_key(&to) {
            known.insert(to.clone(), requirements(&to)?);
        }
        for edge in known.get(&to).into_iter().flatten() {
            work += 1 + now.size() * edge.when.size();
            if work > WORK_MAX {
                return Err(too_complex());
            }
            let when = now.and(&edge.when).map_err(|_| too_complex())?;
            if !when.is_never() {
                waiting.push_back(Edge { to: edge.to.clone(), when });
            }
        }
    }
    let mut packages: BTreeMap<usize, Condition> = BTreeMap::new();
    for (node, when) in wanted {
        let before = packages.remove(&node.package).unwrap_or_else(Condition::never);
        packages.insert(node.package, before.or(&when).map_err(|_| too_complex())?);
    }
    Ok(packages)
}

pub(super) fn too_complex() -> Refusal {
    Refusal::whole("has markers that are too many or too intricate")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn edge(to: usize, part: &str) -> Edge {
        let when = if part.is_empty() { Condition::always() } else { Condition::part(part.to_owned()) };
        Edge { to: Node { package: to, extra: None }, when }
    }

    #[test]
    fn ways_are_joined_and_circles_end() {
        // 0 wants 1 under a; 1 and 2 want each other, 2 under b; 0 wants 2 under c.
        let edges = [vec![edge(1, "a"), edge(2, "c")], vec![edge(2, "b")], vec![edge(1, "")], vec![]];
        let wanted = reach(vec![edge(0, "")], |node| Ok(edges[node.package].clone())).expect("reached");
        assert!(wanted[&0].is_always());
        assert_eq!((wanted[&1].to_string(), wanted[&2].to_string()), ("a or c".to_owned(), "a and b or c".to_owned()));
        assert!(!wanted.contains_key(&3));
    }

    #[test]
    fn what_is_made_to_be_costly_ends_in_a_refusal() {
        let edges = |node: &Node| Ok((0..40).map(|to| edge(to, &format!("{}-{to}", node.package))).collect());
        assert!(reach(vec![edge(0, "")], edges).is_err());
    }

    proptest! {
        /// Against the plain meaning: in each world the packages that are reached by edges that hold there.
        #[test]
        fn each_world_reaches_what_its_edges_reach(
            edges in proptest::collection::vec((0_usize..6, 0_usize..6, "[abc]?"), 0..14),
            world in proptest::collection::btree_set("[abc]", 0..4),
        ) {
            let of = |node: &Node| Ok(edges.iter().filter(|(from, ..)| *from == node.package).map(|(_, to, part)| edge(*to, part)).collect());
            let wanted = reach(vec![edge(0, "")], of).expect("small");
            let mut plain = std::collections::BTreeSet::from([0]);
            for _ in 0..edges.len() {
                for (from, to, part) in &edges {
                    if plain.contains(from) && (part.is_empty() || world.contains(part)) {
                        plain.insert(*to);
                    }
                }
            }
            for package in 0..6 {
                let holds = wanted.get(&package).is_some_and(|when| when.holds(&world));
                prop_assert_eq!(holds, plain.contains(&package), "{}", package);
            }
        }
    }
}
