//! Runs the transcripts of `docs/cli/` and of the README: each file is one story in an empty directory of its own.
//!
//! `TRYCMD=overwrite cargo test` writes what the commands say now into the files; times are then
//! replaced by `[..]` by hand.

use std::path::Path;

use trycmd::TestCases;

#[test]
fn transcripts_are_true() {
    cases().case("docs/cli/*.md");
}

#[test]
fn the_readme_is_true() {
    // A story needs a directory beside its file in order to get one of its own to play in.
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let stage = root.join("target/readme");
    std::fs::create_dir_all(stage.join("README.out")).unwrap();
    std::fs::write(stage.join("README.out/.keep"), "").unwrap();
    std::fs::copy(root.join("README.md"), stage.join("README.md")).unwrap();
    cases().case(stage.join("README.md"));
}

fn cases() -> TestCases {
    let cases = TestCases::new();
    cases.env("NO_COLOR", "1");
    // The one other program that the stories use: to change a file as a user would.
    for sed in ["/bin/sed", "/usr/bin/sed"] {
        if Path::new(sed).exists() {
            cases.register_bin("sed", trycmd::schema::Bin::Path(sed.into()));
        }
    }
    cases
}
