//! How the states are searched.

use protocol_model::{Protocol, State};
use stateright::{Checker, HasDiscoveries, Model};

/// Visits every state once up to its names; panics with a path to whatever is wrong.
pub(crate) fn holds(protocol: Protocol) {
    let everything = protocol
        .checker()
        .symmetry_fn(State::representative)
        .spawn_dfs()
        .join();
    let mut found = everything.discoveries().into_keys();
    if found.any(|name| protocol.property(name).expectation.discovery_is_failure()) {
        // The shortest path, and one whose names stay the same.
        let shortest = protocol.checker().finish_when(HasDiscoveries::AnyFailures);
        shortest.spawn_bfs().join().assert_properties();
    }
    everything.assert_properties();
}

/// Finds a counterexample for each of these properties, both ways.
pub(crate) fn breaks(protocol: Protocol, properties: &[&'static str]) {
    let all = HasDiscoveries::AllOf(properties.iter().copied().collect());
    let plain = protocol.checker().finish_when(all.clone());
    let plain = plain.spawn_bfs().join();
    let reduced = protocol.checker().finish_when(all);
    let reduced = reduced.symmetry_fn(State::representative);
    let reduced = reduced.spawn_dfs().join();
    for property in properties {
        plain.assert_any_discovery(property);
        reduced.assert_any_discovery(property);
    }
}
