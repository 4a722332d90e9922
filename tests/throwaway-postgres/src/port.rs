//! Ports that servers can keep over a restart.

use std::{
    collections::HashSet,
    fs,
    net::TcpListener,
    ops::Range,
    sync::{LazyLock, Mutex, PoisonError},
};

use anyhow::{Result, bail};

/// Below it are the ports of well-known services.
const LOWEST: u16 = 10_000;
const TRIES: u32 = 1_000;

/// Returns a port of 127.0.0.1 that is free, and that this process has not been given before.
///
/// It is not one of those that the system hands to clients: while a server is down between a
/// stop and a restart, any client's socket could take such a port.
pub(crate) fn free_port() -> Result<u16> {
    static GIVEN: LazyLock<Mutex<HashSet<u16>>> = LazyLock::new(Mutex::default);
    let ports = outside_of(&clients_ports());
    for _ in 0..TRIES {
        let port = fastrand::u16(ports.clone());
        let free = TcpListener::bind(("127.0.0.1", port)).is_ok();
        let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
        if free && given.insert(port) {
            return Ok(port);
        }
    }
    bail!("no port is free")
}

/// Reads from which port to which one the system serves clients' sockets.
fn clients_ports() -> Range<u16> {
    let text = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    // Linux's own default, for a machine without the file.
    parse(&text).unwrap_or(32_768..61_000)
}

fn parse(text: &str) -> Option<Range<u16>> {
    let mut numbers = text.split_whitespace();
    let first: u16 = numbers.next()?.parse().ok()?;
    let last: u16 = numbers.next()?.parse().ok()?;
    Some(first..last.saturating_add(1))
}

/// Chooses the ports below the clients', or above, where that leaves more.
fn outside_of(clients: &Range<u16>) -> Range<u16> {
    let below = LOWEST..clients.start.max(LOWEST);
    let above = clients.end.max(LOWEST)..u16::MAX;
    let outside = if below.len() >= above.len() {
        below
    } else {
        above
    };
    // Where clients have all of them, there is nothing to choose.
    if outside.len() < 100 {
        return LOWEST..u16::MAX;
    }
    outside
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clients_ports_are_left_to_them() {
        assert_eq!(parse("32768\t60999\n"), Some(32_768..61_000));
        assert_eq!(parse(""), None);
        assert_eq!(outside_of(&(32_768..61_000)), 10_000..32_768);
        assert_eq!(outside_of(&(1_024..50_000)), 50_000..u16::MAX);
        assert_eq!(outside_of(&(1_024..u16::MAX)), 10_000..u16::MAX);
    }

    #[test]
    fn no_port_is_given_twice() {
        let ports: HashSet<_> = (0..200).map(|_| free_port().unwrap()).collect();
        assert_eq!(ports.len(), 200);
        let clients = clients_ports();
        if outside_of(&clients) != (LOWEST..u16::MAX) {
            assert!(ports.iter().all(|port| !clients.contains(port)));
        }
    }
}
