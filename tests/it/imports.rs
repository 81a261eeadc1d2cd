//! Modules of the project that a step imports or sources are part of its code.

use std::fs;

use super::bench::Bench;

/// A user edited what a script was made of, and was told that everything was up to date.
#[test]
fn modules_that_a_script_imports_count_to_the_end_of_the_chain() {
    let bench = Bench::new("assets:\n  a: {run: 'cat tools/clean.py > \"$output\"'}\n");
    bench.write(
        "tools/clean.py",
        "\"\"\"Cleans.\"\"\"\nimport os, helper as h\nfrom lib.io import (\n  read,\n  shapes)\n\ndef late():\n    from . import near\n",
    );
    bench.write("tools/helper.py", "import json\n");
    bench.write("tools/near.py", "");
    bench.write("tools/other.py", "");
    bench.write("lib/__init__.py", "");
    bench.write("lib/io/__init__.py", "from ..text import strip\nfrom .deep.er import x\n");
    bench.write("lib/io/shapes.py", "import lib.last\n");
    bench.write("lib/io/unused.py", "");
    bench.write("lib/io/deep/er.py", "x = 1\n");
    bench.write("lib/text.py", "");
    bench.write("lib/last.py", "import tools.helper\n");
    assert_eq!(bench.steps(), ["a@"]);
    assert_eq!(bench.steps(), [""; 0]);
    let counting = [
        "tools/helper.py",
        "tools/near.py",
        "lib/__init__.py",
        "lib/io/__init__.py",
        "lib/io/shapes.py",
        "lib/io/deep/er.py",
        "lib/text.py",
        "lib/last.py",
    ];
    for path in counting {
        let before = fs::read_to_string(bench.path(path)).unwrap();
        bench.write(path, &format!("{before}# another line\n"));
        bench.why("a").says("code-changed").says(path);
        assert_eq!(bench.steps(), ["a@"], "{path}");
    }
    for path in ["tools/other.py", "lib/io/unused.py"] {
        bench.write(path, "print(1)\n");
        assert_eq!(bench.steps(), [""; 0], "{path}");
    }
    // A module that takes the place of one from elsewhere, and one that goes.
    bench.write("tools/json.py", "");
    assert_eq!(bench.steps(), ["a@"]);
    fs::remove_file(bench.path("tools/json.py")).unwrap();
    assert_eq!(bench.steps(), [""; 0], "as it was before");
}

#[test]
fn an_asset_that_is_a_script_counts_its_imports() {
    let bench = Bench::new("assets: {}\n");
    bench.write(
        "assets/clean.py",
        "# /// asset\n# output = \"a.txt\"\n# ///\nimport rules\n\nrules.clean()\n",
    );
    bench.write("assets/rules.py", "import common\n");
    bench.write("common.py", "");
    bench.write("made.txt", "1");
    // Whether there is a Python does not matter here.
    bench.run(&["report", "clean", "--path", "made.txt"]).ends(0);
    bench.run(&["status", "--check"]).ends(0);
    for path in ["assets/rules.py", "common.py"] {
        bench.write(path, "import common\nx = 1\n");
        bench.why("clean").says("code-changed").says(path);
        bench.run(&["report", "clean", "--path", "made.txt"]).ends(0);
    }
}

#[test]
fn what_a_shell_sources_counts() {
    let bench = Bench::new(
        "assets:\n  line: {run: '. lib/env.sh; echo $WORD > \"$output\"'}\n  named: {run: 'sh tools/n.sh > \"$output\"'}\n",
    );
    bench.write(
        "assets/script.sh",
        "# /// asset\n# output = \"s.txt\"\n# ///\nset -e\n. \"$(dirname \"$0\")/part.sh\" && say > \"$output\"\n",
    );
    bench.write("assets/part.sh", ". lib/env.sh\nsay() { echo \"$WORD\"; }\n");
    bench.write("tools/n.sh", ". lib/env.sh\necho \"$WORD\"\n");
    bench.write("lib/env.sh", "WORD=1; . lib/more.sh\n");
    bench.write("lib/more.sh", "");
    let all = ["line@", "named@", "script@"];
    assert_eq!(bench.steps(), all);
    bench.write("lib/more.sh", "WORD=2\n");
    assert_eq!(bench.steps(), all);
    assert_eq!(bench.run(&["cat", "script"]).ends(0).out, "2\n");
    bench.write("assets/part.sh", ". lib/env.sh\nsay() { echo \"$WORD!\"; }\n");
    assert_eq!(bench.steps(), ["script@"]);
    assert_eq!(bench.steps(), [""; 0]);
}

/// Modules that are named without a file on the command line.
#[test]
fn python_runs_modules_and_texts() {
    let bench = Bench::new(
        r#"
assets:
  m: {run: 'echo python3 -m tools.main > "$output"'}
  c: {run: "echo python -c 'import lib.one; print(1)' > \"$output\""}
"#,
    );
    bench.write("tools/main.py", "");
    bench.write("lib/one.py", "import two\n");
    bench.write("two.py", "");
    assert_eq!(bench.steps(), ["c@", "m@"]);
    bench.write("tools/main.py", "x = 1\n");
    assert_eq!(bench.steps(), ["m@"]);
    bench.write("two.py", "x = 1\n");
    assert_eq!(bench.steps(), ["c@"]);
}

/// An input that changes while the step runs: also if it is a module.
#[test]
fn a_module_that_changes_while_the_step_runs_is_seen() {
    let bench = Bench::new(
        "assets:\n  a: {run: 'grep -q 2 lib/env.sh || echo \"WORD=2 # longer\" > lib/env.sh; sh tools/n.sh > \"$output\"'}\n",
    );
    bench.write("tools/n.sh", ". lib/env.sh\necho \"$WORD\"\n");
    bench.write("lib/env.sh", "WORD=1\n");
    bench.run(&["m", "a"]).says("changed while it ran");
    bench.run(&["status", "--check"]).ends(1);
    assert_eq!(bench.steps(), ["a@"]);
    bench.run(&["status", "--check"]).ends(0);
}
