//! Random changes of messages: of their structure, so that most are still messages, and of their bytes.
//!
//! Holds: the same seed gives the same changes; a value stays small enough to be handled thousands of times a second.

use ciborium::Value;

/// A small generator (xorshift64*, Vigna 2016), so that a run can be repeated on every machine.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `end`, which is at least 1.
    pub fn below(&mut self, end: u64) -> u64 {
        (self.next() >> 11) % end
    }
}

/// Numbers at which something may turn.
const EDGES: [i128; 22] = [
    0,
    1,
    -1,
    2,
    10,
    100,
    127,
    128,
    255,
    256,
    65_535,
    65_536,
    1_000_000,
    2_147_483_647,
    2_147_483_648,
    4_294_967_294,
    4_294_967_295,
    4_294_967_296,
    9_223_372_036_854_775_807,
    9_223_372_036_854_775_808,
    18_446_744_073_709_551_614,
    18_446_744_073_709_551_615,
];

const TEXTS: [&str; 10] =
    ["", "a", "cpus", "all", "%{TASK_ID}", "../..", "\u{1b}[2J", "\u{0}", "\u{202e}rtl", "one two\nthree"];

fn edge(random: &mut Random) -> Value {
    let number = EDGES[random.below(EDGES.len() as u64) as usize];
    let Ok(number) = ciborium::value::Integer::try_from(number) else { return Value::Null };
    Value::Integer(number)
}

fn anything(random: &mut Random) -> Value {
    match random.below(9) {
        0 => Value::Null,
        1 => Value::Bool(random.below(2) == 0),
        2 => Value::Text(TEXTS[random.below(TEXTS.len() as u64) as usize].to_owned()),
        3 => Value::Text("x".repeat(1 << random.below(13))),
        4 => Value::Bytes(vec![0xff; random.below(64) as usize]),
        5 => Value::Array(Vec::new()),
        6 => Value::Map(vec![(random.below(12).into(), edge(random))]),
        7 => Value::Float([0.0, -1.5, f64::NAN, f64::INFINITY][random.below(4) as usize]),
        _ => edge(random),
    }
}

/// How many values a value consists of.
fn count(value: &Value) -> u64 {
    1 + match value {
        Value::Array(items) => items.iter().map(count).sum(),
        Value::Map(entries) => entries.iter().map(|(_, value)| count(value)).sum(),
        _ => 0,
    }
}

/// Changes one value somewhere inside.
pub fn mutate(value: &mut Value, random: &mut Random) {
    let mut at = random.below(count(value));
    visit(value, &mut at, random);
}

fn visit(value: &mut Value, at: &mut u64, random: &mut Random) -> bool {
    if *at == 0 {
        change(value, random);
        return true;
    }
    *at -= 1;
    match value {
        Value::Array(items) => items.iter_mut().any(|item| visit(item, at, random)),
        Value::Map(entries) => entries.iter_mut().any(|(_, item)| visit(item, at, random)),
        _ => false,
    }
}

fn change(value: &mut Value, random: &mut Random) {
    match value {
        Value::Integer(number) => match random.below(3) {
            0 => {
                let near = i128::from(*number) + i128::from(random.below(5)) - 2;
                *value = ciborium::value::Integer::try_from(near).map_or(Value::Null, Value::Integer);
            }
            _ => *value = edge(random),
        },
        Value::Array(items) if random.below(4) > 0 => change_list(items, random),
        Value::Map(entries) if random.below(4) > 0 => {
            let position = random.below(entries.len() as u64 + 1) as usize;
            match (random.below(3), position < entries.len()) {
                (0, true) => drop(entries.remove(position)),
                (1, true) => entries[position].0 = random.below(16).into(),
                _ => entries.push((random.below(16).into(), anything(random))),
            }
        }
        _ => *value = anything(random),
    }
}

fn change_list(items: &mut Vec<Value>, random: &mut Random) {
    let position = random.below(items.len() as u64 + 1) as usize;
    match (random.below(5), items.get(position).cloned()) {
        (0, Some(_)) => drop(items.remove(position)),
        (1, Some(item)) if count(&item) < 200 => {
            let copies = 1 << random.below(6);
            items.splice(position..position, vec![item; copies]);
        }
        (2, Some(_)) => items.reverse(),
        (3, _) => items.clear(),
        _ => items.insert(position, anything(random)),
    }
    items.truncate(512);
}

/// Changes bytes without regard for what they mean.
pub fn mutate_bytes(bytes: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len() as u64 + 1) as usize;
        match random.below(4) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, random.below(256) as u8),
            2 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            _ if at < bytes.len() => bytes[at] = random.below(256) as u8,
            _ => {}
        }
    }
}
