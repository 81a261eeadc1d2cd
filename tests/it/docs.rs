//! Runs the transcripts of `docs/cli/`: each file is one story in an empty directory of its own.
//!
//! `TRYCMD=overwrite cargo test` writes what the commands say now into the files; times are then
//! replaced by `[..]` by hand.

use std::path::Path;

#[test]
fn transcripts_are_true() {
    let cases = trycmd::TestCases::new();
    cases.env("NO_COLOR", "1");
    // The one other program that the stories use: to change a file as a user would.
    for sed in ["/bin/sed", "/usr/bin/sed"] {
        if Path::new(sed).exists() {
            cases.register_bin("sed", trycmd::schema::Bin::Path(sed.into()));
        }
    }
    cases.case("docs/cli/*.md");
}
