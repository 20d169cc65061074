//! Checks fair shares on an overloaded node.

use std::collections::BTreeMap;

use faas_types::ProjectId;

use super::every_seed;
use super::world::{Function, Plan, Random, SECOND, World};
use crate::scheduler::{CapacityLimits, PoolLimits};

const SEEDS: u64 = 40;
/// An instance is preempted after a second at the earliest, then its call ends within another one, and a start follows.
const TURN: u64 = 2 * SECOND;

/// An overloaded node: every function always has calls waiting.
fn overloaded(random: &mut Random, instances: u32, projects: u64, functions: u64) -> Plan {
    let function = |number: u64| {
        let project = number % projects;
        let limits = PoolLimits {
            project: ProjectId::from_u128(project.into()),
            min: 0,
            max: 1_000,
            concurrency: 1,
            memory: 1,
            queue: 200,
        };
        // The first project is noisy: it makes many times the calls of the others.
        let every = if project == 0 { 4_000 } else { 20_000 };
        Function { limits, version: 1, call: 60_000, every, burst: 2 }
    };
    Plan {
        limits: CapacityLimits { instances, memory: 1 << 30, starts: 8, waiting: 4_000 },
        functions: (0..functions).map(function).collect(),
        until: 12 * SECOND,
        start: 10_000,
        patience: 3 * SECOND,
        trouble: false,
        random: Random(random.next()),
    }
}

#[test]
fn no_project_gets_less_than_its_share_beside_a_noisy_one() {
    every_seed(SEEDS, |seed| {
        let mut random = Random(seed);
        let (projects, instances) = (random.range(2, 4), random.count(4, 9));
        let functions = random.range(projects, projects * 2);
        let mut world = World::new(overloaded(&mut random, instances, projects, functions));
        let (mut sums, mut samples, mut next) = (BTreeMap::<u128, u32>::new(), 0_u32, 4 * SECOND);
        while world.now < world.plan.until {
            world.step();
            if world.now >= next {
                next += SECOND / 10;
                samples += 1;
                world.holdings().into_iter().for_each(|(project, held)| *sums.entry(project).or_default() += held);
            }
        }
        let part = f64::from(instances) / f64::from(u32::try_from(projects).unwrap_or(1));
        for project in 0..u128::from(projects) {
            let held = f64::from(sums.get(&project).copied().unwrap_or(0)) / f64::from(samples);
            assert!(held >= part - 1.0, "project {project} holds {held:.2} of its {part:.2} instances: {sums:?}");
        }
        world.end();
    });
}

#[test]
fn every_function_gets_a_turn_when_there_are_more_than_instances() {
    every_seed(SEEDS, |seed| {
        let mut random = Random(seed);
        let instances = random.count(1, 3);
        let functions = u64::from(instances) + random.range(1, 3);
        let mut world = World::new(overloaded(&mut random, instances, functions, functions));
        let rounds = functions.div_ceil(instances.into()) + 1;
        while world.now < world.plan.until {
            world.step();
            for (function, served) in world.last_served.iter().enumerate() {
                let pause = world.now - served;
                assert!(pause <= rounds * TURN, "function {function} had no turn for {} ms", pause / 1000);
            }
        }
        world.end();
    });
}
