//! A second machine on this one: a network namespace that is joined to this one by a cable.
//!
//! Holds: everything that was made is gone when the value is dropped; where it is not permitted there is no value.

use std::process::{Command, Stdio};

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
        eprintln!("skipped: network namespaces (ip netns, nft) are not to be had here; this needs root");
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
            format!("{inside} nft add table inet hq"),
            format!("{inside} nft add chain inet hq in {{ type filter hook input priority 0 ; }}"),
            format!("{inside} nft add chain inet hq out {{ type filter hook output priority 0 ; }}"),
        ]
        .iter()
        .all(|line| run(line))
    }

    /// The address of this side of the cable.
    pub fn own_address(&self) -> String {
        format!("10.213.{}.1", self.net)
    }

    /// Words in front of a command that shall run inside.
    pub fn wrapper(&self) -> Vec<String> {
        ["ip", "netns", "exec", &self.name].map(str::to_owned).to_vec()
    }

    /// Swallows what comes in (`in`) or goes out (`out`).
    #[track_caller]
    pub fn swallow(&self, chain: &str) {
        assert!(run(&format!("ip netns exec {} nft add rule inet hq {chain} drop", self.name)), "nft refuses");
    }

    /// Lets everything through again.
    #[track_caller]
    pub fn heal(&self) {
        for chain in ["in", "out"] {
            assert!(run(&format!("ip netns exec {} nft flush chain inet hq {chain}", self.name)), "nft refuses");
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
