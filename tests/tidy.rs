//! The house rules and the allowed directions between modules, as tests.
//!
//! An architecture that only people watch over decays; here every rule that a machine can check is checked on each
//! run, and each check is itself tested on a text that obeys and on one that does not.
//!
//! What holds: a check reads the tree and returns one line per violation, `path:line: what, and what to do`.

mod tidy {
    pub mod dependencies;
    pub mod documents;
    pub mod edges;
    pub mod house;
    pub mod lengths;
    pub mod source;
    pub mod tree;
    pub mod unused;
}

use tidy::{dependencies, documents, edges, house, lengths, tree, unused};

/// Fails with all violations at once, so that one run shows everything there is to repair.
fn expect_none(rule: &str, violations: &[String]) {
    assert!(violations.is_empty(), "{rule}: {} violation(s)\n  {}\n", violations.len(), violations.join("\n  "));
}

#[test]
fn modules_use_each_other_only_in_allowed_directions() {
    expect_none("allowed directions (DESIGN: the tree)", &edges::violations(&tree::rust_files()));
}

#[test]
fn the_table_of_directions_has_no_circle() {
    expect_none("table of directions", &edges::table_violations(edges::DIRECTIONS));
}

#[test]
fn every_file_says_what_it_is() {
    expect_none("`//!` at the top of a file", &house::module_docs(&tree::rust_files()));
}

#[test]
fn files_and_functions_stay_short() {
    expect_none("lengths", &lengths::violations(&tree::rust_files(), lengths::LONG_FILES, lengths::LONG_FUNCTIONS));
}

#[test]
fn what_is_public_is_used() {
    expect_none("public items", &unused::violations(&tree::rust_files()));
}

#[test]
fn file_names_say_something() {
    expect_none("file names", &house::file_names(&tree::paths()));
}

#[test]
fn queues_are_bounded() {
    expect_none("bounded queues", &house::unbounded_queues(&tree::rust_files()));
}

#[test]
fn only_boundary_files_derive_serde() {
    expect_none("serde at boundaries", &house::serde_derives(&tree::rust_files()));
}

#[test]
fn only_platform_is_unsafe_and_says_why() {
    expect_none("unsafe", &house::unsafe_code(&tree::rust_files()));
}

#[test]
fn only_platform_calls_the_operating_system() {
    expect_none("libc and nix", &house::system_calls(&tree::rust_files()));
}

#[test]
fn no_test_is_switched_off() {
    expect_none("tests that do not run", &house::switched_off_tests(&tree::rust_files()));
}

#[test]
fn unfinished_work_has_a_number() {
    expect_none("TODO without a number", &house::unnumbered_work(&tree::text_files()));
}

#[test]
fn texts_are_about_the_program_only() {
    expect_none("words of the workplace", &house::workplace_words(&tree::text_files()));
}

#[test]
fn lines_fit_a_screen() {
    expect_none("line length", &house::long_lines(&tree::rust_files()));
}

#[test]
fn markdown_has_one_title() {
    expect_none("one H1", &documents::titles(&tree::text_files()));
}

#[test]
fn links_between_documents_lead_somewhere() {
    expect_none("links", &documents::dead_links(&tree::text_files(), &tree::paths()));
}

#[test]
fn every_invariant_names_a_test_that_exists() {
    let text = tree::read("docs/architecture.md");
    expect_none("invariants", &documents::invariants(&text, &tree::rust_files(), &tree::paths()));
}

#[test]
fn every_guarantee_names_a_test_that_exists() {
    expect_none("guarantees", &documents::guarantees(&tree::read("docs/guarantees.md"), &tree::rust_files()));
}

#[test]
fn dependencies_come_from_the_registry() {
    let ours = ["hyperqueue", "hq-core", "hq-journal"];
    expect_none("sources", &dependencies::sources(&tree::read("Cargo.lock"), &ours));
}

#[test]
fn dependencies_have_allowed_licences() {
    let deny = tree::read("deny.toml");
    let licences = dependencies::licences();
    assert!(licences.len() > 100, "{} packages", licences.len());
    expect_none("licences", &dependencies::unlicensed(&licences, &dependencies::allowed(&deny)));
}

#[test]
fn only_listed_files_are_executable() {
    expect_none("executables", &house::executables(&tree::executables()));
}
