//! Mistakes in ops, graphs, types, pools and jobs of ops: each at its place, all of them at once.

use expect_test::expect;

use super::{TOML, check, check_yaml};
use crate::load::project_from;

#[test]
fn wires_that_lead_nowhere() {
    check_yaml(
        r#"
ops:
  add: {run: ./add.sh, takes: {number: int}, output: int}
jobs:
  j:
    ops:
      one:   {run: ./one.sh, output: int}
      two:   {run: ./two.sh, outputs: [left, right]}
      a:     {use: add, in: {number: onee}}
      b:     {use: add, in: {number: two.lft}}
      c:     {use: add, in: {number: two}}
      d:     {use: add, in: {nmber: one}}
      e:     {run: ./e.sh, in: {xs: [one, two.left, three]}, after: [one, tow]}
      f:     {run: ./f.sh, in: {x: a.b.c, y: 3, z: {form: one}, w: {}, v: {each: one, collect: one}}}
"#,
        expect![[r#"
            error: job `j`: `a`: there is no `onee` in this graph; did you mean `one`?
              assets/a.yaml:9:38 [onee] nothing has this name
              stops [j]
            error: job `j`: `b`: `two` has no output `lft`; did you mean `left`?
              assets/a.yaml:10:38 [two.lft] no such output
              stops [j]
            error: job `j`: `c`: `two` has the outputs `left`, `right`; say which, as in `two.left`
              assets/a.yaml:11:38 [two] which of its outputs?
              stops [j]
            error: job `j`: `d`: nothing is wired into its input `number`
              assets/a.yaml:12:7 [d] not wired
              help: `in: {number: NAME}` wires it
              stops [j]
            error: job `j`: `d`: it has no input `nmber`; did you mean `number`?
              assets/a.yaml:12:30 [nmber] unknown input
              stops [j]
            error: job `j`: `e`: there is no `three` in this graph
              assets/a.yaml:13:53 [three] nothing has this name
              stops [j]
            error: job `j`: `e`: there is no `tow` in this graph; did you mean `two`?
              assets/a.yaml:13:75 [tow] nothing has this name
              stops [j]
            error: `a.b.c` names no output
              assets/a.yaml:14:36 [a.b.c] no name
              help: it is `OP` or `OP.OUTPUT`; of a graph, what is among its `results`
              stops [j]
            error: what is wired into `y` must be the name of an op
              assets/a.yaml:14:46 [3] no name
              help: a value of its own is written `{value: 3}`
              stops [j]
            error: what is wired into `z` has no key `form`
              assets/a.yaml:14:53 [form] unknown key
              help: did you mean `from`?
              stops [j]
            error: nothing is wired into `w`
              assets/a.yaml:14:68 [{] 
              help: `from`, `each`, `collect` or `value` says what
              stops [j]
            error: `each` and `collect` exclude each other
              assets/a.yaml:14:96 [one] second
              stops [j]
        "#]],
    );
}

#[test]
fn pieces_that_are_wired_wrongly() {
    check_yaml(
        r#"
jobs:
  j:
    ops:
      load:  {run: ./l.sh, outputs: "{piece}.json"}
      other: {run: ./l.sh, outputs: "{piece}.json"}
      one:   {run: ./o.sh}
      a:     {run: ./a.sh, in: {x: load}}
      b:     {run: ./b.sh, in: {x: {each: one}}}
      c:     {run: ./c.sh, in: {x: {each: load}, y: {each: other}}}
      d:     {run: ./d.sh, in: {x: {each: load}}, outputs: "{piece}.json"}
      e:     {run: ./e.sh, takes: {x: {many: int}}, in: {x: one}}
      f:     {run: ./f.sh, takes: {x: int}, in: {x: [one, one]}}
"#,
        expect![[r#"
            error: job `j`: `a`: `load` gives pieces; its input `x` needs one value: map it over each piece, or collect them
              assets/a.yaml:8:36 [load] gives pieces
              help: `{each: load}` maps over them, `{collect: load}` collects them
              stops [j]
            error: job `j`: `b`: `one` gives one value, no pieces, so there is nothing to map
              assets/a.yaml:9:43 [one] gives one value
              stops [j]
            error: job `j`: `c`: it is mapped over the pieces of both `load.result` and `other.result`; collect one of them
              assets/a.yaml:10:7 [c] mapped twice
              stops [j]
            error: job `j`: `d`: it gives pieces and is itself mapped over the pieces of `load.result`; collect those first
              assets/a.yaml:11:7 [d] pieces of pieces
              stops [j]
            error: job `j`: `e`: its input `x` takes many values, and `one` is one; write a list or collect
              assets/a.yaml:12:61 [one] one value
              stops [j]
            error: job `j`: `f`: its input `x` takes one value of the type `int`, not a list of several
              assets/a.yaml:13:53 [[] a list
              stops [j]
        "#]],
    );
}

#[test]
fn types_that_never_fit_or_do_not_exist() {
    check_yaml(
        r#"
types:
  even: {is: int, that: "$value % 2 = 0"}
  int: {that: "1"}
  a b: {that: "1"}
  odd: {is: intt}
  left: {is: right, that: "1"}
  right: {is: left, that: "1"}
  empty: {is: int, that: ""}
  list: {is: int, thta: "1"}
ops:
  text: {run: x, output: string}
  wrong: {run: x, output: odd}
jobs:
  j:
    ops:
      t: {use: text}
      a: {run: x, takes: {n: int}, in: {n: t}}
      b: {run: x, takes: {n: evn}, in: {n: {value: x}}}
      c: {run: x, in: {n: {from: t, type: "list("}}}
      d: {use: text, in: {n: {from: t, type: int}}}
      e: {sql: SELECT 1, output: int}
  k: {ops: {a: {use: wrong}}}
"#,
        expect![[r#"
            error: `int` is built in and cannot be declared anew
              assets/a.yaml:4:3 [int] a type that there is
            error: `a b` cannot name a type
              assets/a.yaml:5:3 [a b] a letter, then letters, digits, `_` and `-`
            error: type `odd` does not say which values it has
              assets/a.yaml:6:8 [{] no `that` here
              help: for example `that: "$value % 2 = 0"`
              stops [k]
            error: there is no type `intt`
              assets/a.yaml:6:13 [intt] no type has this name
              help: did you mean `int`?
              stops [k]
            error: types are built on each other in a circle: left -> right -> left
              assets/a.yaml:7:14 [right] leads back
            error: `that` is empty
              assets/a.yaml:9:26 [""] no condition
            error: `list` is built in and cannot be declared anew
              assets/a.yaml:10:3 [list] a type that there is
            error: type `list` has no key `thta`
              assets/a.yaml:10:19 [thta] unknown key
              help: did you mean `that`?
            error: job `j`: `a`: its input `n` takes `int`, and `t` gives `string`
              assets/a.yaml:18:44 [t] can never fit
              stops [j]
            error: there is no type `evn`
              assets/a.yaml:19:30 [evn] no type has this name
              help: did you mean `even`?
              stops [j]
            error: `list(` is no type; there are `any`, `int`, `float`, `bool`, `string`, `null`, `table`, `bytes`, `list(T)`, `map(T)` and the names under `types:`
              assets/a.yaml:20:43 ["list("] no type
              stops [j]
            error: the type of the input `n` is declared elsewhere
              assets/a.yaml:21:46 [int] what is called says it
              stops [j]
            error: SQL gives a table, not `int`
              assets/a.yaml:22:34 [int] no table
              stops [j]
        "#]],
    );
}

#[test]
fn ops_that_do_not_say_what_they_are() {
    check_yaml(
        r#"
ops:
  nothing: {takes: [a]}
  both: {run: x, sql: SELECT 1}
  misspelt: {rnu: x}
  called: {use: both}
jobs:
  j:
    ops:
      a: {}
      b: {run: x, use: both}
      c: {use: bth}
      d: {graph: both}
      e: {use: both, retries: 3, timeuot: 1m}
      f: {rum: x}
      g: 3
      h.i: {run: x}
      k: {run: x, in: {v: a, w: c.x, u: f}}
  empty: {ops: {}}
  none: {description: x}
  two: {ops: {a: {run: x}}, select: "*"}
"#,
        expect![[r#"
            error: op `nothing` does not say what it does
              assets/a.yaml:3:3 [nothing] neither `run` nor `sql`
            error: `run` and `sql` exclude each other
              assets/a.yaml:4:23 [SELECT 1] second
              stops [j]
            error: op `misspelt` has no key `rnu`
              assets/a.yaml:5:14 [rnu] unknown key
              help: did you mean `run`?
            error: op `called` has no key `use`
              assets/a.yaml:6:12 [use] unknown key
              help: known keys: run, sql, takes, output, outputs, config, env, inputs, resources, retries, timeout, pool, io, memo, version, description, on_success, on_failure
            error: op `a` of job `j` does not say what it does
              assets/a.yaml:10:7 [a] none of `run`, `sql`, `use` and `graph`
              stops [j]
            error: `run` and `use` exclude each other
              assets/a.yaml:11:24 [both] second
              stops [j]
            error: there is no op `bth`
              assets/a.yaml:12:16 [bth] nothing has this name
              help: did you mean `both`?
              stops [j]
            error: there is no graph `both`
              assets/a.yaml:13:18 [both] nothing has this name
              help: `use: both` calls the op
              stops [j]
            error: op `e` of job `j` is called, so that `retries` has no place here
              assets/a.yaml:14:22 [retries] not of a call
              help: it stands where the op is declared; a call says `in`, `after` and hooks
              stops [j]
            error: op `e` of job `j` has no key `timeuot`
              assets/a.yaml:14:34 [timeuot] unknown key
              help: did you mean `timeout`?
              stops [j]
            error: op `f` of job `j` has no key `rum`
              assets/a.yaml:15:11 [rum] unknown key
              help: did you mean `run`?
              stops [j]
            error: `g` must be a table, not a number
              assets/a.yaml:16:10 [3] expected a table
              stops [j]
            error: job `j`: `h.i`: the name `h.i` cannot be used: it is letters, digits, `_` and `-`
              assets/a.yaml:17:7 [h.i] no name
              stops [j]
            error: job `empty` is made of nothing
              assets/a.yaml:19:16 [{] no op
              stops [empty]
            error: job `none` does not say what it is about
              assets/a.yaml:20:3 [none] neither `select` nor `ops`
              help: for example `select: "+model"`, or `ops: {..}`
              stops [none]
            error: `select` and `ops` exclude each other
              assets/a.yaml:21:14 [{] second
              help: a job is about assets, or it is made of ops
              stops [two]
        "#]],
    );
}

#[test]
fn every_key_is_looked_at() {
    check_yaml(
        r#"
pools: {net: 0, disk: many}
jobs:
  j:
    ops:
      a:
        run: "cat 'x"
        takes: {output: int, a-b: int, a_b: int, "x y": int, m: {mny: int}, n: 3}
        outputs: {left: a/b.txt, right: "{a}{b}", third: {type: int, fil: x}, l-1: 3, l_1: int}
        config: text
        env: ["A=B"]
        inputs: ["../x"]
        resources: warehouse
        retries: {max: 3, jitter: much, fatal: [0, 2], delay: 3}
        timeout: soon
        pool: nte
        memo: maybe
        on_failure: {run: x}
        on_success: ["", "echo '"]
      b: {sql: SELECT * FROM lod, in: {load: a}, outputs: [x, y]}
      c: {run: x, output: int, outputs: int}
      d: {run: x, pool: net, outputs: {p: {files: x, file: y}, q: {files: "{a}/{b}"}}}
"#,
        expect![[r#"
            error: `net` must be a whole number from 1 to 100000
              assets/a.yaml:2:14 [0] expected a whole number from 1 to 100000
              stops [j]
            error: `disk` must be a whole number from 1 to 100000
              assets/a.yaml:2:23 [many] expected a whole number from 1 to 100000
            error: `run`: nothing closes this quote
              assets/a.yaml:7:14 ["cat 'x"] a quote is open at the end
              stops [j]
            error: an input cannot be called `output`
              assets/a.yaml:8:17 [output] a command finds its output under this name
              stops [j]
            error: the inputs `a-b` and `a_b` are one variable to a command
              assets/a.yaml:8:40 [a_b] $A_B
              help: rename one
              stops [j]
            error: `x y` cannot name an input: it is letters, digits, `_` and `-`
              assets/a.yaml:8:50 ["x y"] no name
              stops [j]
            error: the input `m` has no key `mny`
              assets/a.yaml:8:66 [mny] unknown key
              help: did you mean `many`?
              stops [j]
            error: `type` must be a text, not a number
              assets/a.yaml:8:80 [3] expected a text
              stops [j]
            error: an output is the name of a file, not `a/b.txt`
              assets/a.yaml:9:25 [a/b.txt] a name without `/`
              stops [j]
            error: `{a}{b}` is no path pattern: between two captures there must be something that separates them
              assets/a.yaml:9:41 ["{a}{b}"] no pattern
              help: for example `"{piece}.json"`
              stops [j]
            error: the output `third` has no key `fil`
              assets/a.yaml:9:70 [fil] unknown key
              help: did you mean `file`?
              stops [j]
            error: the output `l-1` must be a type, a file or a table
              assets/a.yaml:9:84 [3] 
              help: for example `int`, `report.html` or `{type: int, optional: true}`
              stops [j]
            error: the outputs `l-1` and `l_1` are one variable to a command
              assets/a.yaml:9:87 [l_1] $L_1
              help: rename one
              stops [j]
            error: `config` of an op must be a list or a table
              assets/a.yaml:10:17 [text] 
              help: a list names fields of the job: `[lr]`; a table declares its own: `{depth: int}`
              stops [j]
            error: `A=B` cannot name an environment variable
              assets/a.yaml:11:15 ["A=B"] no name of a variable
              stops [j]
            error: `../x` must stay inside the project
              assets/a.yaml:12:18 ["../x"] in `inputs`
              stops [j]
            error: `resources` must be a list, not a text
              assets/a.yaml:13:20 [warehouse] expected a list
              stops [j]
            error: `jitter` cannot be `much`
              assets/a.yaml:14:35 [much] unknown word
              help: known are `none`, `full` and `plus_minus`
              stops [j]
            error: `fatal` must be a whole number from 1 to 255
              assets/a.yaml:14:49 [0] expected a whole number from 1 to 255
              stops [j]
            error: `delay` must be a duration, not `3`
              assets/a.yaml:14:63 [3] expected a number and a unit
              help: for example `30s`, `10m` or `1h 30m`
              stops [j]
            error: `timeout` must be a duration, not `soon`
              assets/a.yaml:15:18 [soon] expected a number and a unit
              help: for example `30s`, `10m` or `1h 30m`
              stops [j]
            error: there is no pool `nte`
              assets/a.yaml:16:15 [nte] no pool has this name
              help: did you mean `net`?
              stops [j]
            error: `memo` must be `true` or `false`, not a text
              assets/a.yaml:17:15 [maybe] expected `true` or `false`
              stops [j]
            error: `on_failure` must be a command line or a list of them
              assets/a.yaml:18:21 [{] no command line
              stops [j]
            error: `on_success`: the command line is empty
              assets/a.yaml:19:22 [""] no command line
              stops [j]
            error: `on_success`: nothing closes this quote
              assets/a.yaml:19:26 ["echo '"] no command line
              stops [j]
            error: `sql` reads `lod`, which is no input of it
              assets/a.yaml:20:30 [lod] no such input
              help: did you mean `load`?
              stops [j]
            error: SQL gives one table
              assets/a.yaml:20:59 [[] not one table
              help: a command makes files: `run: ..`
              stops [j]
            error: `output` and `outputs` exclude each other
              assets/a.yaml:21:41 [int] second
              stops [j]
            error: `file` and `files` exclude each other
              assets/a.yaml:22:51 [x] one file, or pieces
              stops [j]
            error: `{a}/{b}` does not say what tells one piece from another
              assets/a.yaml:22:75 ["{a}/{b}"] one capture
              help: one capture says it, and nothing but a name stands around it: `{piece}.json`
              stops [j]
        "#]],
    );
}

#[test]
fn graphs_with_mistakes_stop_the_jobs_that_use_them() {
    check_yaml(
        r#"
graphs:
  wrong:
    takes: {x: int}
    ops:
      a: {run: ./a.sh, in: {n: y}}
      x: {run: ./a.sh}
    results: {r: b}
  outer: {ops: {w: {graph: wrong, in: {x: {value: 1}}}}, results: w.r}
  round: {ops: {a: {graph: trip}}}
  trip: {ops: {a: {graph: round}}}
  "a b": {op: {}}
  more: {takes: [x], ops: {a: {run: x, in: {v: {each: x}}}}, result: a}
jobs:
  uses: {ops: {o: {graph: outer}, p: {run: x, in: {v: o}}}}
  also: {ops: {t: {graph: trip}}}
  fine: {ops: {a: {run: x}}}
"#,
        expect![[r#"
            error: graph `wrong`: `a`: there is no `y` in this graph
              assets/a.yaml:6:32 [y] nothing has this name
              stops [uses]
            error: `x` is both an input of graph `wrong` and one of its ops
              assets/a.yaml:7:7 [x] also an input
              help: a name in `in` would mean the input; rename one
              stops [uses]
            error: graph `wrong`: `r`: there is no `b` in this graph
              assets/a.yaml:8:18 [b] nothing has this name
              stops [uses]
            error: graphs call each other in a circle: round -> trip -> round
              assets/a.yaml:11:27 [round] leads back
              stops [also]
            error: `a b` cannot name a graph: it is letters, digits, `_` and `-`
              assets/a.yaml:12:3 ["a b"] no name
            error: graph `a b` has no key `op`
              assets/a.yaml:12:11 [op] unknown key
              help: did you mean `ops`?
            error: graph `more`: `a`: `x` is one value within this graph; it is mapped or collected where the graph is called
              assets/a.yaml:13:48 [{] one value here
            error: graph `more` has no key `result`
              assets/a.yaml:13:62 [result] unknown key
              help: did you mean `results`?
            jobs: [fine]
        "#]],
    );
}

#[test]
fn a_mistake_within_a_graph_that_only_a_job_makes_stands_at_the_call() {
    check_yaml(
        r#"
graphs:
  add:
    takes: [x]
    ops:
      n: {run: ./n.sh, takes: {x: int}, in: {x: x}}
      load: {run: ./l.sh, in: {x: x}, outputs: "{piece}"}
    results: n
jobs:
  clash:
    ops:
      text: {run: ./t.sh, output: string}
      g: {graph: add, in: {x: text}}
  nested:
    ops:
      load: {run: ./t.sh, outputs: "{piece}"}
      g: {graph: add, in: {x: {each: load}}}
"#,
        expect![[r#"
            error: job `clash`: `g.n`: its input `x` takes `int`, and `x` gives `string`
              assets/a.yaml:13:7 [g] can never fit
              stops [clash]
            error: job `nested`: `g.load`: it gives pieces and is itself mapped over the pieces of `load.result`; collect those first
              assets/a.yaml:17:7 [g] pieces of pieces
              stops [nested]
        "#]],
    );
}

#[test]
fn circles_are_shown_at_a_wire_and_hide_nothing() {
    check_yaml(
        r#"
jobs:
  j:
    ops:
      a: {run: x, in: {v: c}}
      b: {run: x, in: {v: a}}
      c: {run: x, after: [b]}
      d: {run: x, in: {v: a, w: missing}}
"#,
        expect![[r#"
            error: job `j`: `b`: these wait for each other: b, c, a
              assets/a.yaml:6:27 [a] leads back
              stops [j]
            error: job `j`: `d`: there is no `missing` in this graph
              assets/a.yaml:8:33 [missing] nothing has this name
              stops [j]
        "#]],
    );
}

#[test]
fn configuration_that_does_not_fit() {
    check_yaml(
        r#"
ops:
  fit: {run: x, config: [lr, name]}
  own: {run: x, config: {depth: itn}}
jobs:
  j:
    config: {lr: float, fit: int, inner: int}
    ops:
      fit: {use: fit}
      other: {run: x, config: [lr, rate]}
      inner: {run: x, config: {depth: int}}
  values:
    config: {lr: {type: float, min: 0}}
    values: {lr: -1, innr: {depth: 2}, inner: {depth: x}}
    presets: {quick: {lr: fast}, slow: 3}
    ops:
      inner: {run: x, config: {depth: int}}
  parts:
    partitions: {multi: {region: [eu], day: {daily: {start: 2024-01-01}}}}
    config: {a: string, b: string, c: string, d: [string], e: string, f: int}
    values: {a: "{day}", b: "{regoin}", c: "{start:%Q}", d: ["x", "{region:%Y}"], e: "{", f: "{start:%Y}"}
    ops: {o: {run: x, config: [a]}}
  keys:
    partitions: [a, b]
    config: {a: string}
    values: {a: "{start}"}
    ops: {o: {run: x}}
  broken: {ops: {a: {use: own}}}
"#,
        expect![[r#"
            error: `config`: `depth`: there is no type `itn`; did you mean `int`?
              assets/a.yaml:4:33 [itn] in this schema
              stops [broken]
            error: job `j`: `fit`: it reads `name`, which the job's configuration does not have
              assets/a.yaml:9:7 [fit] no such field
              help: the job declares it: `config: {name: TYPE}`
              stops [j]
            error: job `j`: `other`: it reads `rate`, which the job's configuration does not have
              assets/a.yaml:10:36 [rate] no such field
              help: the job declares it: `config: {rate: TYPE}`
              stops [j]
            error: job `j`: `inner` is both a step and a field of the job's configuration; rename one
              assets/a.yaml:11:7 [inner] also a field of `config`
              stops [j]
            error: the values of job `values`: `lr` must be a number of at least 0, not `-1`
              assets/a.yaml:14:18 [-1] 
              stops [values]
            error: the values of job `values`: `innr` is not defined; known are `lr` and `inner`
              assets/a.yaml:14:28 [{] 
              stops [values]
            error: the values of job `values`: `inner.depth` must be `int`, not the text `x`
              assets/a.yaml:14:55 [x] 
              stops [values]
            error: the preset `quick` of job `values`: `lr` must be `float of at least 0`, not the text `fast`
              assets/a.yaml:15:27 [fast] 
              stops [values]
            error: `slow` must be a table, not a number
              assets/a.yaml:15:40 [3] expected a table
              stops [values]
            error: the values of job `parts`: a partition has no `{regoin}`; it has `{day}`, `{region}`, `{partition}`, `{start}`, `{end}`
              assets/a.yaml:21:29 ["{regoin}"] in braces
              stops [parts]
            error: the values of job `parts`: `%Q` is no form of a date; one is `%Y-%m-%d`
              assets/a.yaml:21:44 ["{start:%Q}"] in braces
              stops [parts]
            error: the values of job `parts`: `{region:%Y}` has a form, and only `start` and `end` have one
              assets/a.yaml:21:67 ["{region:%Y}"] in braces
              stops [parts]
            error: the values of job `parts`: `{` has a brace that has no other; a brace itself is written `{{` or `}}`
              assets/a.yaml:21:86 ["{"] in braces
              stops [parts]
            error: the values of job `keys`: a partition has no `{start}`; it has `{partition}`
              assets/a.yaml:26:17 ["{start}"] in braces
              stops [keys]
        "#]],
    );
}

#[test]
fn jobs_that_are_not_what_they_seem() {
    check_yaml(
        r#"
sources: {inbox: {files: "in/{name}.csv"}, one: {files: in.csv}}
assets: {a: {run: x}, b: {run: x, deps: [inbox]}}
jobs:
  j: {select: a, partitions: [x], on_failure: ./page.sh}
  follows: {partitions: each(inbx), ops: {a: {run: x}}}
  sound: {partitions: each(inbox), values: {f: "{partition}"}, config: {f: string}, ops: {a: {run: x}}}
  single: {partitions: each(one), ops: {a: {run: x}}}
  "a b": {ops: {a: {run: x}}}
"#,
        expect![[r#"
            error: `partitions` is of jobs that are made of `ops`
              assets/a.yaml:5:30 [[] this job selects assets
              help: the assets have their own; `run JOB -p PARTITION` says which
              stops [j]
            error: `on_failure` is of jobs that are made of `ops`
              assets/a.yaml:5:47 [./page.sh] this job selects assets
              help: a check of an asset can run a command
              stops [j]
            error: there is no source or asset `inbx` to follow
              assets/a.yaml:6:25 [each(inbx)] in `each`
              stops [follows]
            error: `one` has no partitions to follow
              assets/a.yaml:8:24 [each(one)] in `each`
              stops [single]
            error: `a b` cannot be a name: a name is segments of letters, digits, `_` and `-`, joined by `/`
              assets/a.yaml:9:3 ["a b"] no name
            a (assets/a.yaml:3) x
            b (assets/a.yaml:3) x
              reads inbox
            inbox (assets/a.yaml:2) source Files { pattern: PathPattern { text: "in/{name}.csv", pieces: [Literal("in/"), Capture { name: "name", format: None }, Literal(".csv")] }, split_by: None, columns: {} }
              partitions source:inbox
            one (assets/a.yaml:2) source Files { pattern: PathPattern { text: "in.csv", pieces: [Literal("in.csv")] }, split_by: None, columns: {} }
            jobs: [sound]
        "#]],
    );
}

#[test]
fn resources_that_are_not_there_or_broken() {
    check_yaml(
        r#"
resources:
  db: {type: sqlite}
  dir: {type: directory, path: data}
jobs:
  unknown: {ops: {a: {run: x, resources: [bd]}}}
  broken: {ops: {a: {run: x, resources: [db]}}}
  sql: {ops: {a: {sql: SELECT * FROM dir.orders, resources: [dir]}}}
  fine: {ops: {a: {run: x, resources: [dir]}}}
"#,
        expect![[r#"
            error: resource `db`: `path` is missing; it must be `string`, such as `"..."`
              assets/a.yaml:3:7 [{] a `sqlite`
              stops [broken]
            error: there is no resource `bd`
              assets/a.yaml:6:43 [bd] no resource has this name
              help: declare it in a file of definitions: `resources: {bd: {type: directory, path: ..}}`
              stops [unknown]
            error: `sql` reads `dir.orders`, which is no input of it
              assets/a.yaml:8:38 [dir.orders] no such input
              help: the tables of an op are its inputs
              stops [sql]
            jobs: [fine]
        "#]],
    );
}

#[test]
fn a_variable_that_is_not_set_is_told() {
    check_yaml(
        r#"
jobs:
  j:
    ops:
      one: {run: make --to "$output"}
      pieces: {run: 'split -l 2 x "$output"', outputs: "{piece}"}
      several: {run: 'echo > "$output"', outputs: [left, a-b]}
      none: {run: make --in "$output_dir", outputs: []}
"#,
        expect![[r#"
            warning: `run` uses `$output`
              assets/a.yaml:6:21 ['split -l 2 x "$output"'] this variable is not set
              help: its pieces are the files in `$output_dir`
            warning: `run` uses `$output`
              assets/a.yaml:7:22 ['echo > "$output"'] this variable is not set
              help: its outputs are `$GIORNATA_OUTPUT_LEFT`, `$GIORNATA_OUTPUT_A_B`
            warning: `run` uses `$output_dir`
              assets/a.yaml:8:19 [make --in "$output_dir"] this variable is not set
              help: it has no output
            jobs: [j]
        "#]],
    );
}

#[test]
fn names_that_are_there_twice() {
    let text = "
ops: {a: {run: x}}
graphs: {g: {ops: {a: {run: x}}}}
types: {t: {that: '1'}}
pools: {p: 1}
jobs:
  j:
    ops:
      a: {run: x}
      a: {run: y}
";
    check(
        &[("assets/a.yaml", text), ("assets/b.yaml", text)],
        expect![[r#"
            error: the key `a` is there twice
              assets/a.yaml:10:7 [a] again here
              also [a] first here
              stops [j]
            error: op `a` is declared twice
              assets/b.yaml:2:7 [a] declared again
              help: it is first declared at assets/a.yaml:2
            error: graph `g` is declared twice
              assets/b.yaml:3:10 [g] declared again
              help: it is first declared at assets/a.yaml:3
            error: type `t` is declared twice
              assets/b.yaml:4:9 [t] declared again
              help: it is first declared at assets/a.yaml:4
            error: pool `p` is declared twice
              assets/b.yaml:5:9 [p] declared again
              help: it is first declared at assets/a.yaml:5
            error: job `j` is declared twice
              assets/b.yaml:7:3 [j] declared again
              help: it is first declared at assets/a.yaml:7
              stops [j]
            error: the key `a` is there twice
              assets/b.yaml:10:7 [a] again here
              also [a] first here
        "#]],
    );
}

#[test]
fn what_contradicts_itself_is_not_taken_in_part() {
    let count = |yaml: &str, expect: &[&str]| {
        let loaded = project_from(&[TOML, ("assets/a.yaml", yaml)]).unwrap();
        let errors = loaded.diagnostics.iter().filter(|it| it.is_error());
        let messages: Vec<&str> = errors.map(|it| it.message.as_str()).collect();
        assert_eq!(messages, expect, "{yaml}");
    };
    let op = |output: &str| format!("ops: {{a: {{run: x, output: {output}}}}}");
    let format = "`format` is for a table without a name of its own";
    count(&op("{files: \"{k}.json\", format: csv}"), &[format]);
    count(&op("{file: a.txt, format: csv}"), &[format]);
    count(&op("{format: csv}"), &[]);
    count("types: {T: {is: int, is: string, that: \"1\"}}", &["the key `is` is there twice"]);
    count("resources: {r: {type: sqlite, pth: a.db}}", &["resource `r` has no key `pth`"]);
    let graph = "graphs: {g: {ops: {a: {run: x, output: {type: int}}}, results: a}}\n";
    let asset = "assets: {a: {graph: g, checks: [rows > 0]}}";
    count(&format!("{graph}{asset}"), &["checks look at rows, and this graph makes no table"]);
}

#[test]
fn what_breaks_a_resource_or_a_manager_names_the_assets_that_use_it() {
    let yaml = "resources: {r: {type: nothing}}\nio: {m: {type: table, on: r, table: t}}\n\
                assets: {x: {run: x, resources: [r]}, y: {sql: select 1, io: m}, z: {run: x}}";
    let loaded = project_from(&[TOML, ("assets/a.yaml", yaml)]).unwrap();
    let errors: Vec<_> = loaded.diagnostics.iter().filter(|it| it.is_error()).collect();
    assert_eq!(errors.len(), 1, "{errors:#?}");
    let disables: Vec<&str> = errors[0].disables.iter().map(|key| key.as_str()).collect();
    assert_eq!(disables, ["x", "y"]);
    assert!(loaded.project.assets.contains_key("z"));
}
