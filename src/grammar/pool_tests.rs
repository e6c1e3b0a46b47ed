//! Tests of the pool definitions: the examples and every refusal of the grammar.
//!
//! They stand apart because the parser's file would be too long with them.

use super::*;
use proptest::prelude::*;

fn shown(text: &str) -> String {
    parse(text).map_or_else(|error| error.to_string(), |pool| format!("{}={}", pool.name, full(&pool.kind)))
}

fn refusal(definitions: &[&str]) -> String {
    assemble(definitions.iter().map(|text| parse(text).unwrap()).collect()).unwrap_err().to_string()
}

#[test]
fn reads_definitions() {
    for (text, printed) in [
        ("gpus=[a,b]", "gpus=[a,b]"),
        ("gpus/amd = [ a , \"b c\" ]", "gpus/amd=[a,\"b c\"]"),
        ("x=range(3-7)", "x=range(3-7)"),
        ("x=range( 3 - 3 )", "x=[3]"),
        ("x=1x4", "x=range(0-3)"),
        ("x=2x3", "x=[[0,1,2],[3,4,5]]"),
        ("x=[[a,b]]", "x=[a,b]"),
        ("x=[ [a] , [b , c] ]", "x=[[a],[b,c]]"),
        ("x=sum(2.5)", "x=sum(2.5)"),
        ("mem=sum(24105.5625)", "mem=sum(24105.5625)"),
        ("x=sum(1_000)", "x=sum(1000)"),
    ] {
        assert_eq!(shown(text), printed, "{text}");
    }
    assert_eq!(parse("x=[a]").unwrap().to_string(), "1");
    assert_eq!(parse("x=4x5").unwrap().to_string(), "4x5");
}

#[test]
fn reads_cpus() {
    let shown = |text| parse_cpus(text).map(|kind| full(&kind));
    assert_eq!(shown("4"), Ok("range(0-3)".into()));
    assert_eq!(shown("1"), Ok("[0]".into()));
    assert_eq!(shown("2x2"), Ok("[[0,1],[2,3]]".into()));
    assert_eq!(shown("[1, 5]"), Ok("[1,5]".into()));
    assert_eq!(shown("range(2-4)"), Ok("range(2-4)".into()));
    for text in ["", "4 x 2", "-1", "4x", "x4", "4x2x1", "4.5", "2_x"] {
        assert!(parse_cpus(text).is_err(), "{text}");
    }
}

#[test]
fn refuses_malformed_definitions() {
    for text in [
        "x",
        "x=",
        "=1x2",
        "x=5",
        "1x=1x1",
        "a_b=1x1",
        "x=list(a,b)",
        "x=[a,b",
        "x=[a,,b]",
        "x=[a b]",
        "x=[a,]",
        "x=[]",
        "x=[[a],b]",
        "x=[a,[b]]",
        "x=range(5-3)",
        "x=range(3)",
        "x=range(1-2",
        "x=sum()",
        "x=sum(1",
        "x=sum(.5)",
        "x=[\"a]",
        "x=1x2 y",
        "x=RANGE(1-2)",
        "x=[a]]",
        "é=1x1",
        "x=range(0-4294967295)",
        "x=65536x65536",
    ] {
        assert!(parse(text).is_err(), "{text}");
    }
}

#[test]
fn says_the_quoted_texts() {
    for (text, part) in [
        ("x=[a,b,a]", "List items have to be unique"),
        ("x=[[a],[b,b]]", "Group items have to be unique"),
        ("x=[[a],[]]", "Each group has to contain at least a single element"),
        ("x=[[]]", "Each group has to contain at least a single element"),
        ("x=sum(1.00001)", "Resource precision exceeded"),
    ] {
        assert!(shown(text).contains(part), "{text}: {}", shown(text));
    }
    for (definitions, part) in [
        (&["cpus=sum(4)"][..], "Resource kind `sum` cannot be used with CPUs"),
        (&["x=1x2", "cpus=1x2", "x=[a]"][..], "Resource x defined twice"),
        (&["x=sum(0)"][..], "Resource x is empty"),
        (&["x=0x4"][..], "Resource x is empty"),
        (&["x=4x0"][..], "Resource x is empty"),
        (&["x=[[a],[b,a]]"][..], "Non unique indices"),
    ] {
        assert!(refusal(definitions).contains(part), "{definitions:?}: {}", refusal(definitions));
    }
    let none = Pool { name: CPUS.into(), kind: parse_cpus("0").unwrap() };
    assert_eq!(assemble(vec![none]), Err(PoolError::CpusAsSum));
}

#[test]
fn assembles_by_name() {
    let pools = ["mem=sum(1)", "cpus=1x2", "gpus/nvidia=[0]", "a=[b]"].map(|text| parse(text).unwrap());
    let names: Vec<String> = assemble(pools.into()).unwrap().pools.into_iter().map(|pool| pool.name).collect();
    assert_eq!(names, ["a", "cpus", "gpus/nvidia", "mem"]);
    let many: Vec<Pool> = (0..=RESOURCES_MAX).map(|n| parse(&format!("x{n}=1x1")).unwrap()).collect();
    assert_eq!(assemble(many), Err(PoolError::TooMany(RESOURCES_MAX + 1)));
}

fn kinds() -> impl Strategy<Value = PoolKind> {
    let label = "[^\"\n\r]{0,4}";
    let group = proptest::collection::btree_set(label, 1..4).prop_map(|set| set.into_iter().collect::<Vec<_>>());
    prop_oneof![
        (0u32..1000, 1u32..1000).prop_map(|(start, len)| PoolKind::range(start, start + len)),
        group.clone().prop_map(PoolKind::List),
        proptest::collection::vec(group, 2..4).prop_map(PoolKind::Groups),
        (0u64..=u64::from(u32::MAX) * Amount::UNIT).prop_map(|parts| PoolKind::Sum(Amount(parts))),
    ]
}

proptest! {
    #[test]
    fn print_then_parse_is_identity(kind in kinds()) {
        prop_assert_eq!(parse(&format!("x={}", full(&kind))), Ok(Pool { name: "x".into(), kind }));
    }

    #[test]
    fn any_text_gives_a_value_or_an_error(text in "x=[a-c0-9x\\[\\],\" ().-]{0,14}|\\PC{0,14}") {
        let _ = parse(&text);
        let _ = parse_cpus(&text);
    }
}
