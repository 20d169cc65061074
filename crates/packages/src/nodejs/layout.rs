//! Which directory each package gets, so that every import finds what the lock means. Pure.
//!
//! Node looks for a name in the `node_modules` of the importing directory and of each one above it. A package is put
//! as high as it can be without being found by those who mean another one of its name, and not above the copies of
//! its peers.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use super::graph::{Graph, Need, Wrong};
use super::plan::{Place, Plan, below};

/// Directories of packages. A package whose copies cannot be shared takes several.
const PLACES_MAX: usize = 5_000;
/// Packages inside of packages. Two that need each other in ever different versions would nest without end.
const DEPTH_MAX: usize = 12;
const ROOT: usize = 0;

/// A directory that holds a package, or the project itself.
struct Spot {
    /// `None` for the project.
    node: Option<usize>,
    parent: usize,
    depth: usize,
    path: String,
    children: HashMap<String, usize>,
    /// Names that are looked up from here or from below and found above: nothing of these names may come to lie here.
    passed: HashSet<String>,
}

struct Layout<'a> {
    graph: &'a Graph,
    spots: Vec<Spot>,
}

/// Gives every package its directories.
pub(super) fn lay_out(graph: &Graph) -> Result<Plan, Wrong> {
    let root = Spot {
        node: None,
        parent: ROOT,
        depth: 0,
        path: String::new(),
        children: HashMap::new(),
        passed: HashSet::new(),
    };
    let mut layout = Layout { graph, spots: vec![root] };
    let mut todo = VecDeque::from([ROOT]);
    while let Some(spot) = todo.pop_front() {
        for need in layout.needs(spot) {
            todo.extend(layout.serve(spot, need)?);
        }
    }
    Ok(layout.into_plan())
}

// === impl Layout ===

impl<'a> Layout<'a> {
    fn all_needs(&self, spot: usize) -> &'a [Need] {
        self.spots[spot].node.map_or(&self.graph.root, |node| &self.graph.nodes[node].needs)
    }

    fn peers(&self, node: usize) -> impl Iterator<Item = &'a Need> + use<'a> {
        self.graph.nodes[node].needs.iter().filter(|need| need.is_peer)
    }

    /// What a directory's package needs; those with fewer peers first, so that peers have a place before those who look
    /// for them.
    fn needs(&self, spot: usize) -> Vec<&'a Need> {
        let mut needs: Vec<&Need> = self.all_needs(spot).iter().collect();
        needs.sort_by_key(|need| (self.peers(need.target).count(), &need.name));
        needs
    }

    /// The directory that a name leads to, and the one in whose `node_modules` it lies.
    fn visible(&self, from: usize, name: &str) -> Option<(usize, usize)> {
        let mut at = from;
        loop {
            if let Some(child) = self.spots[at].children.get(name) {
                return Some((*child, at));
            }
            if at == ROOT {
                return None;
            }
            at = self.spots[at].parent;
        }
    }

    fn meant(&self, from: usize, name: &str) -> Option<usize> {
        self.visible(from, name).and_then(|(child, _)| self.spots[child].node)
    }

    /// Makes a name resolve to the right package from there; returns the directory that was made for it, if any.
    fn serve(&mut self, spot: usize, need: &Need) -> Result<Option<usize>, Wrong> {
        let found = self.visible(spot, &need.name);
        if let Some((child, holder)) = found
            && self.spots[child].node == Some(need.target)
        {
            self.pass(spot, holder, &need.name);
            return Ok(None);
        }
        let holder = self.highest(spot, need);
        self.pass(spot, holder, &need.name);
        let (depth, path) = (self.spots[holder].depth + 1, below(&self.spots[holder].path, &need.name));
        if depth > DEPTH_MAX || self.spots.len() > PLACES_MAX {
            let why = format!(
                "cannot be laid out in {PLACES_MAX} directories and {DEPTH_MAX} levels; let packages agree on versions"
            );
            return Err(Wrong::at(path, why));
        }
        let made = self.spots.len();
        self.spots.push(Spot {
            node: Some(need.target),
            parent: holder,
            depth,
            path,
            children: HashMap::new(),
            passed: HashSet::new(),
        });
        self.spots[holder].children.insert(need.name.clone(), made);
        Ok(Some(made))
    }

    /// The highest directory that may hold it.
    fn highest(&self, spot: usize, need: &Need) -> usize {
        let mut holder = spot;
        while holder != ROOT {
            let above = self.spots[holder].parent;
            let is_free =
                !self.spots[above].children.contains_key(&need.name) && !self.spots[above].passed.contains(&need.name);
            let sees = |peer: &&Need| self.meant(above, &peer.name) == Some(peer.target);
            let is_new = |peer: &&Need| self.meant(spot, &peer.name).is_none();
            let sees_peers = self.peers(need.target).all(|peer| sees(&peer) || is_new(&peer));
            let sees_others = !self.graph.has_no_peers
                || self.all_needs(spot).iter().all(|other| other == need || sees(&other) || is_new(&other));
            if !is_free || !sees_peers || !sees_others {
                break;
            }
            holder = above;
        }
        holder
    }

    fn pass(&mut self, from: usize, holder: usize, name: &str) {
        let mut at = from;
        while at != holder {
            self.spots[at].passed.insert(name.to_owned());
            at = self.spots[at].parent;
        }
    }

    fn into_plan(self) -> Plan {
        let needs =
            |spot: usize| self.all_needs(spot).iter().map(|need| (need.name.clone(), need.is_optional)).collect();
        let places: BTreeMap<String, Place> = self
            .spots
            .iter()
            .enumerate()
            .filter_map(|(index, spot)| {
                let package = self.graph.nodes[spot.node?].package.clone();
                Some((spot.path.clone(), Place { package, needs: needs(index), is_optional: false }))
            })
            .collect();
        Plan { root: needs(ROOT), places }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::graph::Package;
    use super::*;

    fn graph(packages: &[(&str, &str)], needs: &[(usize, usize, bool)], root: &[usize]) -> Graph {
        let mut graph = Graph::default();
        for (name, version) in packages {
            graph.add(Package::new("a", name, version, None).expect("a package")).expect("room");
        }
        let need = |target: usize, is_peer| {
            let name = packages[target].0.to_owned();
            Need { name, target, is_optional: false, is_peer }
        };
        for (from, to, is_peer) in needs {
            graph.nodes[*from].needs.push(need(*to, *is_peer));
        }
        graph.root = root.iter().map(|target| need(*target, false)).collect();
        graph
    }

    fn places(plan: &Plan) -> Vec<String> {
        plan.places.iter().map(|(path, place)| format!("{path} {}", place.package.version)).collect()
    }

    /// Every import leads to what the graph means.
    fn holds(graph: &Graph, plan: &Plan) {
        let mut seen = HashSet::new();
        let mut todo: Vec<(String, &[Need])> = vec![(String::new(), &graph.root)];
        while let Some((path, needs)) = todo.pop() {
            for need in needs {
                let found = plan.resolve(&path, &need.name).expect("found");
                assert_eq!(plan.places[&found].package, graph.nodes[need.target].package, "{} from {path}", need.name);
                if seen.insert((found.clone(), need.target)) {
                    todo.push((found, &graph.nodes[need.target].needs));
                }
            }
        }
    }

    #[test]
    fn what_conflicts_is_nested() {
        let packages = [("a", "1.0.0"), ("b", "1.0.0"), ("b", "2.0.0"), ("c", "1.0.0")];
        let graph = graph(&packages, &[(0, 2, false), (3, 2, false)], &[0, 1, 3]);
        let plan = lay_out(&graph).expect("laid out");
        assert_eq!(
            places(&plan),
            ["a 1.0.0", "a/node_modules/b 2.0.0", "b 1.0.0", "c 1.0.0", "c/node_modules/b 2.0.0"]
        );
        holds(&graph, &plan);
    }

    #[test]
    fn who_has_peers_lies_beside_them() {
        // The project means b 1, c means b 2 with a plugin that must see the same b 2.
        let packages = [("b", "1.0.0"), ("b", "2.0.0"), ("c", "1.0.0"), ("plugin", "1.0.0")];
        let graph = graph(&packages, &[(2, 1, false), (2, 3, false), (3, 1, true)], &[0, 2]);
        let plan = lay_out(&graph).expect("laid out");
        let expected = ["b 1.0.0", "c 1.0.0", "c/node_modules/b 2.0.0", "c/node_modules/plugin 1.0.0"];
        assert_eq!(places(&plan), expected);
        holds(&graph, &plan);
    }

    #[test]
    fn without_peers_in_the_lock_what_is_needed_together_stays_together() {
        let packages = [("b", "1.0.0"), ("b", "2.0.0"), ("c", "1.0.0"), ("a-plugin", "1.0.0"), ("d", "1.0.0")];
        let mut graph = graph(&packages, &[(2, 1, false), (2, 3, false), (3, 4, false)], &[0, 2]);
        graph.has_no_peers = true;
        let plan = lay_out(&graph).expect("laid out");
        let expected = ["b 1.0.0", "c 1.0.0", "c/node_modules/a-plugin 1.0.0", "c/node_modules/b 2.0.0", "d 1.0.0"];
        assert_eq!(places(&plan), expected);
    }

    #[test]
    fn circles_end() {
        let packages = [("a", "1.0.0"), ("b", "1.0.0"), ("a", "2.0.0"), ("b", "2.0.0")];
        let circle = graph(&packages, &[(0, 1, false), (1, 0, false)], &[0]);
        assert_eq!(places(&lay_out(&circle).expect("laid out")), ["a 1.0.0", "b 1.0.0"]);
        let spiral = graph(&packages, &[(0, 1, false), (1, 2, false), (2, 3, false), (3, 0, false)], &[0]);
        assert!(lay_out(&spiral).expect_err("endless").why.contains("levels"));
    }

    proptest! {
        #[test]
        fn every_import_finds_what_the_lock_means(
            versions in prop::collection::vec((0_u8..6, 1_u8..4), 1..20),
            needs in prop::collection::vec((0_usize..20, 0_usize..20, any::<bool>()), 0..60),
            root in prop::collection::vec(0_usize..20, 1..8),
        ) {
            let named: Vec<(String, String)> =
                versions.iter().map(|(name, version)| (format!("p{name}"), format!("{version}.0.0"))).collect();
            let packages: Vec<(&str, &str)> = named.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            let count = packages.len();
            let mut graph = graph(&packages, &[], &[]);
            let need = |target: usize, is_peer| Need { name: named[target].0.clone(), target, is_optional: false, is_peer };
            let push = |list: &mut Vec<Need>, new: Need| if list.iter().all(|one| one.name != new.name) { list.push(new) };
            for (from, to, is_peer) in needs {
                push(&mut graph.nodes[from % count].needs, need(to % count, is_peer));
            }
            for target in root {
                push(&mut graph.root, need(target % count, false));
            }
            if let Ok(plan) = lay_out(&graph) {
                holds(&graph, &plan);
            }
        }
    }
}
