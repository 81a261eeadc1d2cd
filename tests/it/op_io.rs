//! IO managers in jobs of files, with the real binary: of one output, of one input, of a whole job.

use std::fs;

use super::bench::Bench;

fn read(bench: &Bench, path: &str) -> String {
    fs::read_to_string(bench.path(path)).unwrap_or_default()
}

/// The names of files below a directory, without what is said about them.
fn names(bench: &Bench, dir: &str) -> Vec<String> {
    let entries = fs::read_dir(bench.path(dir)).into_iter().flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn an_output_has_a_manager_of_its_own() {
    let bench = Bench::new(
        r#"
io:
  files: {type: file, path: out}
  others: {type: file, path: other}
jobs:
  j:
    ops:
      make:
        run: 'for it in A B C; do eval "echo $it > \$GIORNATA_OUTPUT_$it"; done'
        outputs: {a: {io: others}, b: {type: string, io: none}, c: string}
        io: files
      only: {run: 'echo 1 > "$output"', output: {type: int, io: files}}
"#,
    );
    bench.run(&["check"]).ends(0);
    bench.run(&["run", "j"]).ends(0);
    assert_eq!(names(&bench, "other/j"), ["make+a"]);
    assert_eq!(names(&bench, "out/j"), ["make+c", "only+result"]);
    assert_eq!(read(&bench, "other/j/make+a"), "A\n");
    // A retry puts what was put elsewhere before.
    bench.edit("path: out", "path: out2");
    bench.edit("run: 'echo 1 > \"$output\"'", "run: 'exit 1'");
    bench.run(&["run", "j"]).ends(1);
    bench.edit("path: out2", "path: out3");
    bench.edit("run: 'exit 1'", "run: 'echo 1 > \"$output\"'");
    bench.run(&["run", "j", "--retry", "2"]).ends(0);
    assert_eq!(names(&bench, "out3/j"), ["make+c", "only+result"]);
    // Mistakes.
    bench.edit("a: {io: others}", "a: {io: other}");
    bench
        .run(&["check"])
        .ends(2)
        .says("there is no IO manager `other`")
        .says("did you mean `others`?");
    bench.edit("a: {io: other}", "a: {dir: true, io: others}");
    bench.run(&["check"]).ends(2).says("its output `a` cannot be put: it is a directory");
    bench.edit("a: {dir: true, io: others}", "a: {ioo: others}");
    bench
        .run(&["check"])
        .ends(2)
        .says("the output `a` has no key `ioo`")
        .says("did you mean `io`?");
}

/// What lies where it was put is read, not what the store has.
#[test]
fn an_input_is_read_from_where_its_value_was_put() {
    let bench = Bench::new(
        r#"
io:
  files: {type: file, path: out}
ops:
  see: {run: 'cat "$x" > seen.txt', takes: {x: {type: string, io: files}}, outputs: []}
jobs:
  j:
    partitions: [p, q]
    ops:
      make: {run: 'echo made > "$output"', output: {file: a.txt, io: files}}
      change: {run: sh change.sh, after: make, outputs: []}
      see: {use: see, in: {x: make}, after: change}
      plain: {run: 'cat "$x" > plain.txt', in: {x: make}, after: change, outputs: []}
      cut: {run: 'for n in 1 22; do echo $n > "$output_dir/p$n.txt"; done', outputs: {pieces: {files: "{piece}.txt", io: files}}}
      each: {run: 'wc -c < "$x" > "$output"', takes: {x: {io: files}}, in: {x: {each: cut}}, output: {type: int, io: files}}
      all: {run: 'cat "$xs"/* | tr -d " " > all.txt', takes: {xs: {many: int, io: files}}, in: {xs: {collect: each}}, outputs: []}
"#,
    );
    // Of the same size and time: a manager gives nothing that was changed behind its back.
    let change = "for f in out/j/make+result*; do touch -r \"$f\" time; rm \"$f\"; echo MADE > \"$f\"; touch -r time \"$f\"; done\n";
    bench.write("change.sh", change);
    bench.run(&["check"]).ends(0);
    for partition in ["p", "q"] {
        bench.run(&["run", "j", "-p", partition]).ends(0);
        assert_eq!(read(&bench, "seen.txt"), "MADE\n");
        assert_eq!(read(&bench, "plain.txt"), "made\n");
        assert_eq!(read(&bench, "all.txt"), "2\n3\n");
        for path in ["seen.txt", "plain.txt", "all.txt"] {
            fs::remove_file(bench.path(path)).unwrap();
        }
    }
    // Where somebody has removed it, the step fails.
    bench.write("change.sh", "rm out/j/make+result*\n");
    bench
        .run(&["run", "j", "-p", "p"])
        .ends(1)
        .says("cannot read input `x`: read `j/make.result@p`");
    assert_eq!(read(&bench, "seen.txt"), "");
}

#[test]
fn tables_are_read_from_a_database() {
    let bench = Bench::new(
        r#"
resources:
  warehouse: {type: sqlite, path: data/w.db}
io:
  tables: {type: table, on: warehouse}
jobs:
  j:
    ops:
      rows: {run: 'printf "id,n\n1,2\n2,3\n" > "$output"', output: {type: table, io: tables}}
      more: {run: 'true', after: rows, outputs: [], resources: [warehouse]}
      sum: {sql: SELECT sum(n) AS n FROM t, takes: {t: {type: table, io: tables}}, in: {t: rows}, after: more}
      show: {run: 'cat "$sum" > shown.csv', in: {sum: sum}, outputs: []}
"#,
    );
    bench.run(&["check"]).ends(0);
    bench.run(&["run", "j"]).ends(0);
    assert_eq!(read(&bench, "shown.csv"), "n\n5\n");
}

#[test]
fn an_input_that_nothing_puts_anywhere_is_refused() {
    let bench = Bench::new(
        r#"
resources:
  warehouse: {type: sqlite, path: data/w.db}
io:
  files: {type: file, path: out}
  others: {type: file, path: other}
  tables: {type: table, on: warehouse}
ops:
  see: {run: 'cat "$x"', takes: {x: {io: files}}, outputs: []}
jobs:
  j:
    ops:
      make: {run: 'echo 1 > "$output"', io: files}
      see: {use: see, in: {x: make}}
"#,
    );
    bench.run(&["check"]).ends(0);
    let refused = |from: &str, to: &str, why: &str| {
        bench.edit(from, to);
        bench.run(&["check"]).ends(2).says(why);
        bench.edit(to, from);
        bench.run(&["check"]).ends(0);
    };
    let no_manager = "no IO manager can read `x` of `see`: ";
    refused(
        ", io: files}\n      see",
        "}\n      see",
        &format!("{no_manager}`make.result` is put nowhere"),
    );
    refused("io: files}\n      see", "io: others}\n      see", "`make.result` is put elsewhere");
    refused("io: files}\n      see", "io: none}\n      see", "`make.result` is put nowhere");
    refused("x: {io: files}", "x: {io: tables}", "`make.result` is put elsewhere");
    refused("in: {x: make}", "in: {x: {value: 1}}", "a fixed value is put nowhere");
    refused("in: {x: make}", "in: {x: [make, make]}", "`many` takes each as it was put");
    refused("x: {io: files}", "x: {io: file}", "did you mean `files`?");
    refused("x: {io: files}", "x: {many: int, type: int}", "`many` and `type` exclude each other");
    refused(
        "outputs: []}\njobs",
        "outputs: [], memo: true}\njobs",
        "`io` and `memo` exclude each other",
    );
    refused(
        "jobs:\n",
        "graphs: {g: {takes: {x: {type: int, io: files}}, ops: {see: {use: see, in: {x: x}}}}}\njobs:\n",
        "the input `x` has no key `io`",
    );
    bench.run(&["run", "j"]).ends(0);
}

#[test]
fn a_job_says_the_manager_of_its_ops() {
    let bench = Bench::new(
        r#"
io:
  files: {type: file, path: out}
  others: {type: file, path: other}
ops:
  one: {run: 'echo 1 > "$output"', output: int, memo: true}
jobs:
  j:
    io: files
    ops:
      one: {use: one}
      two: {run: 'cat "$x" > "$output"', takes: {x: {io: files}}, in: {x: one}, output: {type: int, io: others}}
      none: {run: 'echo 1 > "$output"', io: none}
      tree: {run: 'true > "$output_dir/x"', output: {dir: true}}
  plain: {ops: {one: {use: one}}}
  assets: {select: a}
assets:
  a: {run: 'echo > "$output"'}
"#,
    );
    bench.run(&["check"]).ends(0);
    bench.run(&["run", "plain"]).ends(0);
    assert_eq!(names(&bench, "out"), [""; 0]);
    // What a memo has is put nowhere: it is made.
    bench.run(&["run", "j"]).ends(0);
    assert_eq!(names(&bench, "out/j"), ["one+result"]);
    assert_eq!(names(&bench, "other/j"), ["two+result"]);
    assert_eq!(read(&bench, "other/j/two+result"), "1\n");
    bench.edit("    io: files\n", "    io: filez\n");
    bench
        .run(&["check"])
        .ends(2)
        .says("there is no IO manager `filez`")
        .says("did you mean `files`?");
    bench.edit("    io: filez\n", "    io: files\n");
    bench.edit("{select: a}", "{select: a, io: files}");
    bench.run(&["check"]).ends(2).says("`io` is of jobs that are made of `ops`");
}
