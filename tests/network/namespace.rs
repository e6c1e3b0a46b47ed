//! A second machine on this one: a network namespace that is joined to this one by a cable.
//!
//! A direction is broken by a wrong hardware address of the other side: what is sent there leaves the machine, and nobody
//! takes it. This needs no firewall.
//!
//! Holds: everything that was made is gone when the value is dropped; where it is not permitted there is no value.

use std::process::{Command, Stdio};

/// A hardware address that nobody has.
const NOBODY: &str = "02:00:00:00:de:ad";

/// A namespace and its cable.
pub struct Namespace {
    name: String,
    /// Third byte of the addresses.
    net: u8,
}

fn run(line: &str) -> bool {
    let mut words = line.split(' ');
    let mut command = Command::new(words.next().expect("a program"));
    command.args(words).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

impl Namespace {
    /// A new one, or `None`, with a message, where this is not permitted.
    pub fn new(net: u8) -> Option<Self> {
        let name = format!("hq{}n{net}", std::process::id());
        let namespace = Self { name, net };
        if namespace.set_up() {
            return Some(namespace);
        }
        eprintln!("skipped: network namespaces (ip netns) are not to be had here; this needs root");
        None
    }

    fn set_up(&self) -> bool {
        let Self { name, net } = self;
        let inside = format!("ip netns exec {name}");
        [
            format!("ip netns add {name}"),
            format!("ip link add {name}a type veth peer name {name}b"),
            format!("ip link set {name}b netns {name}"),
            format!("ip addr add 10.213.{net}.1/24 dev {name}a"),
            format!("ip link set {name}a up"),
            format!("{inside} ip addr add 10.213.{net}.2/24 dev {name}b"),
            format!("{inside} ip link set {name}b up"),
            format!("{inside} ip link set lo up"),
            format!("{inside} ip route add default via 10.213.{net}.1"),
        ]
        .iter()
        .all(|line| run(line))
    }

    /// The address of this side of the cable; other namespaces reach it as well.
    pub fn own_address(&self) -> String {
        format!("10.213.{}.1", self.net)
    }

    /// Words in front of a command that shall run inside.
    pub fn wrapper(&self) -> Vec<String> {
        ["ip", "netns", "exec", &self.name].map(str::to_owned).to_vec()
    }

    /// The commands of the side that sends in a direction (`in`, `out`): in front of `ip neigh`, its own end of the cable,
    /// and the address of the other side.
    fn sender(&self, direction: &str) -> (String, String, String) {
        let Self { name, net } = self;
        match direction {
            "in" => (String::new(), format!("{name}a"), format!("10.213.{net}.2")),
            "out" => (format!("ip netns exec {name} "), format!("{name}b"), format!("10.213.{net}.1")),
            other => panic!("no direction: {other}"),
        }
    }

    /// Swallows what comes in (`in`) or goes out (`out`).
    #[track_caller]
    pub fn swallow(&self, direction: &str) {
        let (inside, end, other) = self.sender(direction);
        let line = format!("{inside}ip neigh replace {other} lladdr {NOBODY} dev {end} nud permanent");
        assert!(run(&line), "`{line}` failed");
    }

    /// Lets everything through again.
    #[track_caller]
    pub fn heal(&self) {
        for direction in ["in", "out"] {
            let (inside, end, _) = self.sender(direction);
            let line = format!("{inside}ip neigh flush dev {end} nud permanent");
            assert!(run(&line), "`{line}` failed");
        }
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // What was not made cannot be taken away.
        run(&format!("ip link del {}a", self.name));
        run(&format!("ip netns del {}", self.name));
    }
}
