//! Messages as they read, and what holds of every schema and every value.

use expect_test::{Expect, expect};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;

#[track_caller]
fn parsed(schema: Value) -> Schema {
    Schema::parse(&schema).unwrap_or_else(|errors| panic!("{errors}"))
}

#[track_caller]
fn check(schema: Value, value: Value, expect: Expect) {
    let env = |name: &str| match name {
        "WORD" => Some("hunter2".to_owned()),
        "FIVE" => Some("5".to_owned()),
        "OFF" => Some("Off".to_owned()),
        _ => None,
    };
    let result = parsed(schema).validate(&value, Env::Resolve(&env));
    expect.assert_eq(&match result {
        Ok(config) => config.value.to_string(),
        Err(errors) => errors.to_string(),
    });
}

#[track_caller]
fn check_schema(schema: Value, expect: Expect) {
    expect.assert_eq(&Schema::parse(&schema).unwrap_err().to_string());
}

mod messages {
    use super::*;

    #[test]
    fn all_errors_are_told_at_once() {
        check(
            json!({"a": "int", "b": ["string"], "c": {"map": "float"}, "d": {"e": "bool"}}),
            json!({"a": "3", "b": [1, "x", null], "c": {"x y": "z"}, "d": {"f": 1}, "aa": 2}),
            expect![[r#"
                `aa` is not defined; known are `a`, `b`, `c` and `d`
                `a` must be `int`, not the text `3`; write it without quotes
                `b[0]` must be `string`, not `1`; write it in quotes
                `b[2]` must be `string`, not null
                `c."x y"` must be `float`, not the text `z`
                `d.f` is not defined; known is `e`
                `d.e` is missing; it must be `bool`, such as `true`"#]],
        );
    }

    #[test]
    fn the_root_is_called_the_config() {
        check(
            json!({"a": "int"}),
            json!([1]),
            expect!["the config must be `{a: int}`, not a list"],
        );
        check(json!({"a": "int"}), json!(null), expect!["the config must be `{a: int}`, not null"]);
        check(
            json!({}),
            json!({"a": 1}),
            expect!["`a` is not defined; remove it, there are no fields here"],
        );
    }

    #[test]
    fn a_misspelt_field_is_told_with_what_it_should_be() {
        check(
            json!({"person_name": "string", "person_nam": "string?"}),
            json!({"pesron_name": "x", "person_nam": "x"}),
            expect![[r#"
                `pesron_name` is not defined; did you mean `person_name`?
                `person_name` is missing; it must be `string`, such as `"..."`"#]],
        );
    }

    #[test]
    fn a_value_of_an_enum_is_suggested() {
        let schema = json!({"kind": {"enum": ["fast", "full", 3]}});
        check(
            schema.clone(),
            json!({"kind": "fsat"}),
            expect!["`kind` cannot be the text `fsat`; did you mean `fast`?"],
        );
        check(
            schema.clone(),
            json!({"kind": "slow"}),
            expect!["`kind` cannot be the text `slow`; known are `fast`, `full` and `3`"],
        );
        check(schema, json!({"kind": 3}), expect![[r#"{"kind":3}"#]]);
    }

    #[test]
    fn numbers_keep_to_their_bounds() {
        let schema =
            json!({"n": {"type": "int", "min": 1, "max": 5}, "x": {"type": "float?", "max": 0.5}});
        check(
            schema.clone(),
            json!({"n": 0, "x": 1}),
            expect![[r#"
            `n` must be a number from 1 to 5, not `0`
            `x` must be a number of at most 0.5, not `1`"#]],
        );
        check(schema, json!({"n": 5, "x": 0}), expect![[r#"{"n":5,"x":0.0}"#]]);
    }

    #[test]
    fn a_selector_has_exactly_one_field() {
        let schema = json!({"selector": {"file": {"path": "string"}, "s3": "string"}});
        check(
            schema.clone(),
            json!({}),
            expect![
                "the config must have exactly one field and has none; known are `file` and `s3`"
            ],
        );
        check(
            schema.clone(),
            json!({"file": null}),
            expect![[r#"`file.path` is missing; it must be `string`, such as `"..."`"#]],
        );
        check(
            schema.clone(),
            json!({"file": {"path": "x"}, "s3": "y"}),
            expect!["the config must have exactly one field and has `file` and `s3`; keep one"],
        );
        check(schema, json!({"s4": "y"}), expect!["`s4` is not defined; did you mean `s3`?"]);
    }

    #[test]
    fn a_union_tells_the_errors_of_the_nearest_member() {
        let schema =
            json!({"u": {"union": ["int", {"path": "string"}, {"host": "string", "port": "int"}]}});
        check(
            schema.clone(),
            json!({"u": "x"}),
            expect![
                "`u` must be `int or {path: string} or {host: string, port: int}`, not the text `x`"
            ],
        );
        check(
            schema.clone(),
            json!({"u": []}),
            expect!["`u` must be `int or {path: string} or {host: string, port: int}`, not a list"],
        );
        check(
            schema.clone(),
            json!({"u": {"host": "h", "port": "p"}}),
            expect!["`u.port` must be `int`, not the text `p`"],
        );
        check(
            schema.clone(),
            json!({"u": {"pth": "h"}}),
            expect![[r#"
            `u.pth` is not defined; did you mean `path`?
            `u.path` is missing; it must be `string`, such as `"..."`"#]],
        );
        check(schema, json!({"u": {"env": "FIVE"}}), expect![[r#"{"u":5}"#]]);
    }

    #[test]
    fn the_first_member_that_fits_decides() {
        check(json!({"union": ["float", "int"]}), json!(3), expect!["3.0"]);
        check(json!({"union": ["int", "float"]}), json!(3), expect!["3"]);
    }

    #[test]
    fn keys_of_a_map_have_a_type_too() {
        let schema = json!({"map": "int", "key": "int"});
        check(
            schema.clone(),
            json!({"1": 1, "x": 2}),
            expect!["`x` must be `int`, not the key `x`"],
        );
        check(schema, json!({"1": 1}), expect![[r#"{"1":1}"#]]);
    }

    #[test]
    fn long_values_are_cut() {
        check(
            json!("int"),
            json!("x\n".repeat(50)),
            expect![
                "the config must be `int`, not the text `x x x x x x x x x x x x x x x x x x x x ..`"
            ],
        );
    }
}

mod defaults {
    use super::*;

    #[test]
    fn defaults_are_filled_in_at_every_depth() {
        check(
            json!({
                "a": {"b": {"type": "int", "default": 1}, "c": {"d": "string?"}},
                "e": {"type": {"x": "float", "y": {"type": "int", "default": 7}}, "default": {"x": 1}},
                "f": {"type": "int", "optional": true},
                "g": {"selector": {"one": {"type": {"z": {"type": "int", "default": 2}}}}},
            }),
            json!({}),
            expect![[r#"{"a":{"b":1,"c":{"d":null}},"e":{"x":1.0,"y":7},"g":{"one":{"z":2}}}"#]],
        );
    }

    #[test]
    fn a_shape_takes_what_it_does_not_give_from_the_default_of_its_field() {
        let schema = json!({"opt": {"type": {"lr": "float", "beta": "float"}, "default": {"lr": 0.1, "beta": 0.9}}});
        check(schema, json!({"opt": {"lr": 0.2}}), expect![[r#"{"opt":{"lr":0.2,"beta":0.9}}"#]]);
    }

    #[test]
    fn a_map_that_is_given_replaces_the_default() {
        let schema = json!({"m": {"map": "int", "default": {"x": 1}}});
        check(schema.clone(), json!({}), expect![[r#"{"m":{"x":1}}"#]]);
        check(schema.clone(), json!({"m": {}}), expect![[r#"{"m":{}}"#]]);
        check(schema, json!({"m": {"y": 2}}), expect![[r#"{"m":{"y":2}}"#]]);
    }

    #[test]
    fn optional_false_asks_for_what_the_type_implies() {
        check(
            json!({"a": {"type": "int?", "optional": false}}),
            json!({}),
            expect!["`a` is missing; it must be `int?`, such as `null`"],
        );
    }
}

mod variables {
    use super::*;

    #[test]
    fn a_variable_is_read_as_the_type_of_its_place() {
        check(
            json!({"s": "string", "n": "int", "x": "float?", "b": "bool", "e": {"enum": [4, 5]}}),
            json!({"s": {"env": "FIVE"}, "n": {"env": "FIVE"}, "x": {"env": "FIVE"}, "b": {"env": "OFF"}, "e": {"env": "FIVE"}}),
            expect![[r#"{"s":"5","n":5,"x":5.0,"b":false,"e":5}"#]],
        );
    }

    #[test]
    fn no_message_shows_the_value_of_a_variable_or_a_secret() {
        let schema = json!({
            "n": "int", "m": {"type": "int", "min": 6}, "b": "bool", "s": {"type": "string", "secret": true},
            "e": {"enum": ["hunter1"], "secret": true}, "i": {"type": "int", "secret": true, "min": 5},
            "o": {"s": {"type": "string", "secret": true}},
        });
        let given = json!({
            "n": {"env": "WORD"}, "m": {"env": "FIVE"}, "b": {"env": "WORD"}, "s": 12345, "e": "hunter2", "i": 4,
            "o": "hunter2",
        });
        check(
            schema,
            given,
            expect![[r#"
                `n` is read from the environment variable `WORD`, whose value is no `int`; set it to one
                `m` is read from the environment variable `FIVE`, whose value is no `int of at least 6`; set it to one
                `b` is read from the environment variable `WORD`, whose value is no `bool`; set it to one
                `s` must be `string`, not a number; write it in quotes
                `e` cannot be a text; known is `hunter1`
                `i` must be a number of at least 5, not a number
                `o` must be `{s: string}`, not a text"#]],
        );
    }

    #[test]
    fn a_reference_has_one_name_and_that_is_a_text() {
        let schema =
            json!({"a": "string", "b": "string", "c": "string", "d": "string", "e": "string"});
        check(
            schema,
            json!({"a": {"env": "UNSET"}, "b": {"env": 3}, "c": {"other": "x"}, "d": {}, "e": {"env": "FIVE", "x": 1}}),
            expect![[r#"
                `a` is read from the environment variable `UNSET`, which is not set; set it or write a value
                `b.env` must be `string`, not `3`
                `c.other` is not defined; known is `env`
                `d` must have exactly one field and has none; known is `env`
                `e` must have exactly one field and has `env` and `x`; keep one"#]],
        );
    }

    #[test]
    fn what_is_withheld_is_named_and_masked() {
        let schema = parsed(
            json!({"token": {"type": "string", "secret": true}, "xs": ["int"], "plain": "string"}),
        );
        let env = |_: &str| Some("5".to_owned());
        let given = json!({"token": "s", "xs": [1, {"env": "FIVE"}], "plain": "p"});
        let config = schema.validate(&given, Env::Resolve(&env)).unwrap();
        assert_eq!(config.value, json!({"token": "s", "xs": [1, 5], "plain": "p"}));
        let masked = json!({"token": "***", "xs": [1, {"env": "FIVE"}], "plain": "p"});
        assert_eq!(config.masked(), masked);
        let places: Vec<String> = config.withheld.iter().map(|w| w.path.to_string()).collect();
        assert_eq!(places, ["token", "xs[1]"]);
    }

    #[test]
    fn without_an_environment_references_stay() {
        let schema = parsed(
            json!({"token": {"type": "string", "default": {"env": "TOKEN"}, "secret": true}}),
        );
        let config = schema.validate(&json!({}), Env::Keep).unwrap();
        assert_eq!(config.value, json!({"token": {"env": "TOKEN"}}));
        assert_eq!(config.masked(), config.value);
    }
}

mod declarations {
    use super::*;

    #[test]
    fn everything_wrong_with_a_schema_is_told_at_once() {
        check_schema(
            json!({
                "a": "flot", "b": "dict", "c": 0.01, "d": ["int", "string"], "e": "colour",
                "f": {"type": "int", "min": 5, "max": 1}, "g": {"type": "int", "default": "x"},
                "h": {"enum": []}, "i": {"enum": ["x", "x", null]}, "j": {"selector": {}}, "k": {"map": 1},
                "l": ["str"], "m": null,
            }),
            expect![[r#"
                `a`: there is no type `flot`; did you mean `float`?
                `b`: there is no type `dict`; did you mean `{map: string}`?
                `c`: `0.01` is no type; write `{type: float, default: 0.01}` for a default
                `d`: a list of 2 is no type; write `[string]` for a list of texts, `{enum: [..]}` for a choice
                `e`: there is no type `colour`; known are `any`, `bool`, `float`, `int`, `string` and `text`
                `f`: no number is from 5 to 1; exchange `min` and `max`
                `g.default`: must be `int`, not the text `x`
                `h.enum`: has nothing in it; list the values
                `i.enum`: `x` is there twice; remove one
                `i.enum[2]`: must be a text, a number or a bool, not null
                `j.selector`: has nothing in it; name what can be selected
                `k.map`: `1` is no type; write `{type: int, default: 1}` for a default
                `l[0]`: there is no type `str`; did you mean `string`?
                `m`: null is no type; write `{type: any, default: null}` for a default"#]],
        );
    }

    #[test]
    fn options_are_known_and_go_with_their_type() {
        check_schema(
            json!({
                "a": {"type": "string", "path": "string"}, "b": {"type": "string", "map": "int"},
                "c": {"type": "int", "defualt": 3}, "d": {"type": "string", "min": 1},
                "e": {"type": "int", "min": 0.5}, "f": {"array": {"type": "int", "default": 3}},
                "g": {"enum": "fast"}, "h": {"type": ["int"], "secret": true}, "i": {"type": "int", "key": "int"},
                "j": {"type": "int", "optional": "yes", "description": 3},
                "k": {"type": "string", "secret": true, "default": "hunter2"},
                "l": {"map": "int", "key": ["int"]}, "m": {"shape": "int"}, "n": {"union": "int"},
            }),
            expect![[r#"
                `a.path`: there is no such option of `type`; known are `default`, `optional`, `description`, `min`, `max`, `secret` and `key`; if `type` is a field, write `{shape: {..}}`
                `b`: `type` and `map` both say the type; keep one, or if these are fields, write `{shape: {..}}`
                `c.defualt`: there is no such option of `type`; did you mean `default`?
                `d.min`: does not go with `string`; it is for `int` and `float`
                `e.min`: must be a whole number, not `0.5`
                `f.array.default`: is for fields only; an item, a member or the whole config is always given
                `g.enum`: must be a list of values, not the text `fast`
                `h.secret`: does not go with `[int]`; it is for single values
                `i.key`: does not go with `int`; it is for maps
                `j.description`: must be a text, not `3`
                `j.optional`: must be `true` or `false`, not the text `yes`
                `k.default`: a secret would stand in the file; write `default: {env: VARIABLE}`
                `l.key`: must be the type of a single value, not a list
                `m.shape`: must be a mapping of fields, not the text `int`
                `n.union`: must be a list of types, not the text `int`"#]],
        );
    }

    #[test]
    fn yaml_and_toml_have_one_spelling() {
        let yaml = "
            person_name: string
            lr: {type: float, default: 0.01, min: 0}
            kind: {enum: [fast, full], default: fast}
            layers: [{size: int, dropout: float?}]
            words: {map: [string?], default: {}}
            storage: {selector: {file: {path: string}, s3: {bucket: string, token: {type: string, secret: true}}}}
        ";
        let toml = r#"
            person_name = "string"
            lr = { type = "float", default = 0.01, min = 0 }
            kind = { enum = ["fast", "full"], default = "fast" }
            layers = [{ size = "int", dropout = "float?" }]
            words = { map = ["string?"], default = {} }
            [storage.selector]
            file = { path = "string" }
            s3 = { bucket = "string", token = { type = "string", secret = true } }
        "#;
        let yaml: Value = serde_saphyr::from_str(yaml).unwrap();
        let toml: Value = toml::from_str(toml).unwrap();
        assert_eq!(yaml, toml);
        let yaml = Schema::parse_root(&yaml).unwrap();
        assert_eq!(
            yaml.scaffold(),
            json!({"person_name": "...", "layers": [], "storage": "<selector>"})
        );
    }

    #[test]
    fn a_field_may_have_the_name_of_a_form_within_shape() {
        let schema = parsed(json!({"shape": {"type": "string", "map": "int"}}));
        assert!(schema.errors(&json!({"type": "x", "map": 1})).is_empty());
    }

    #[test]
    fn a_schema_has_a_greatest_depth() {
        let deep = (0..1000).fold(json!("int"), |schema, _| json!([schema]));
        assert!(
            Schema::parse(&deep)
                .unwrap_err()
                .to_string()
                .ends_with("is deeper than 64 levels; use `any`")
        );
        assert!(Schema::parse(&json!("?".repeat(100_000))).is_err());
        std::mem::forget(deep);
    }

    #[test]
    fn a_job_without_config_accepts_nothing() {
        assert_eq!(Schema::parse_root(&Value::Null).unwrap(), Schema::shape([]));
    }
}

mod exports {
    use super::*;

    #[test]
    fn a_schema_becomes_a_json_schema() {
        let schema = parsed(json!({
            "name": {"type": "string", "description": "Whom to greet."}, "n": {"type": "int", "min": 1, "default": 2},
            "token": {"type": "string?", "secret": true}, "on": {"selector": {"file": {"path": "string?"}, "s3": "any"}},
            "opt": {"type": {"lr": "float"}, "default": {"lr": 0.1}}, "m": {"map": "bool", "key": {"enum": ["a"]}},
        }));
        let env = json!({"type": "object", "description": "The value of an environment variable.",
            "properties": {"env": {"type": "string"}}, "required": ["env"], "additionalProperties": false});
        let scalar = |schema: Value| json!({"anyOf": [schema, env]});
        let mut name = scalar(json!({"type": "string"}));
        name["description"] = "Whom to greet.".into();
        let mut n = scalar(json!({"type": "integer", "minimum": 1}));
        n["default"] = 2.into();
        let text_or_null = |schema: Value| json!({"anyOf": [scalar(schema), {"type": "null"}]});
        let exported = schema.json_schema();
        assert_eq!(exported["required"], json!(["name", "on", "m"]));
        assert_eq!(exported["additionalProperties"], json!(false));
        let properties = &exported["properties"];
        assert_eq!(properties["name"], name);
        assert_eq!(properties["n"], n);
        let secret = json!({"type": "string", "writeOnly": true});
        assert_eq!(properties["token"], text_or_null(secret));
        assert_eq!(properties["on"]["maxProperties"], json!(1));
        assert_eq!(properties["on"]["minProperties"], json!(1));
        assert_eq!(properties["opt"].get("required"), None);
        assert_eq!(properties["m"]["propertyNames"], json!({"enum": ["a"]}));
    }

    #[test]
    fn what_is_wrong_is_wrong_for_editors_too() {
        let schema = parsed(
            json!({"a": "int", "s": {"selector": {"x": "int", "y": "int"}}, "e": {"enum": ["p", "q"]}}),
        );
        let validator = jsonschema::validator_for(&schema.json_schema()).unwrap();
        let right = json!({"a": 1, "s": {"x": 1}, "e": "p"});
        assert!(validator.is_valid(&right));
        for (field, value) in [
            ("a", json!("1")),
            ("a", json!({"envi": "X"})),
            ("s", json!({})),
            ("s", json!({"x": 1, "y": 1})),
            ("e", json!("r")),
            ("z", json!(1)),
        ] {
            let mut wrong = right.clone();
            wrong[field] = value;
            assert!(!validator.is_valid(&wrong), "{wrong}");
            assert!(!schema.errors(&wrong).is_empty(), "{wrong}");
        }
    }
}

mod scaffolds {
    use super::*;

    #[test]
    fn what_is_missing_is_added_and_nothing_else_is_changed() {
        let schema = parsed(json!({
            "a": "string", "b": {"c": {"type": "int", "min": 2}, "d": "int?"},
            "e": {"type": {"x": "int", "y": "int"}, "default": {"x": 1, "y": 1}}, "xs": [{"n": "int"}],
        }));
        let done = schema.scaffold_missing(
            &json!({"a": 5, "b": {}, "e": {"x": 2}, "xs": [{}, {"n": 1}], "z": 1}),
        );
        assert_eq!(
            done.value,
            json!({"a": 5, "b": {"c": 2}, "e": {"x": 2}, "xs": [{"n": 0}, {"n": 1}], "z": 1})
        );
        let added: Vec<String> = done.added.iter().map(Path::to_string).collect();
        assert_eq!(added, ["b.c", "xs[0].n"]);
    }

    #[test]
    fn a_field_of_a_selected_nothing_is_added() {
        let schema =
            parsed(json!({"s": {"selector": {"file": {"path": "string"}, "s3": "string"}}}));
        let done = schema.scaffold_missing(&json!({"s": {"file": null}}));
        assert_eq!(done.value, json!({"s": {"file": {"path": "..."}}}));
    }

    #[test]
    fn what_is_too_much_is_removed_also_from_a_selector() {
        let schema = parsed(
            json!({"s": {"selector": {"a": "int", "b": {"c": "int"}}}, "m": {"map": {"n": "int"}}}),
        );
        let done = schema.prune(
            &json!({"s": {"b": {"c": 1, "d": 2}, "x": 1}, "m": {"k": {"n": 1, "o": 2}}, "y": 3}),
        );
        assert_eq!(done.value, json!({"s": {"b": {"c": 1}}, "m": {"k": {"n": 1}}}));
        let removed: Vec<String> = done.removed.iter().map(Path::to_string).collect();
        assert_eq!(removed, ["y", "s.x", "m.k.o", "s.b.d"]);
    }
}

fn name() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a", "b", "c", "ab", "env"]).prop_map(str::to_owned)
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-3i64..4).prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-c]{0,2}".prop_map(Value::from),
        ".{0,5}".prop_map(Value::from),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    scalar().prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            prop::collection::vec((name(), inner), 0..4)
                .prop_map(|entries| Value::Object(entries.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// A schema whose defaults may be nonsense, as one that a program builds may have.
fn schema() -> impl Strategy<Value = Schema> {
    let kind = prop_oneof![
        Just(ScalarKind::Bool),
        Just(ScalarKind::Text),
        (prop::option::of(-2i64..0), prop::option::of(0i64..3))
            .prop_map(|(min, max)| ScalarKind::Int(Bounds { min, max })),
        (prop::option::of(-2.0..0.0), prop::option::of(0.0..3.0))
            .prop_map(|(min, max)| ScalarKind::Float(Bounds { min, max })),
        prop::collection::vec("[a-c]{1,2}".prop_map(Value::from), 1..4).prop_map(ScalarKind::Enum),
    ];
    let source = prop::sample::select(vec![Source::Literal, Source::LiteralOrEnv]);
    let secrecy = prop::sample::select(vec![Secrecy::Open, Secrecy::Secret]);
    let scalar = (kind, source, secrecy)
        .prop_map(|(kind, source, secrecy)| Scalar { kind, source, secrecy }.into());
    prop_oneof![1 => Just(Schema::Any), 9 => scalar].prop_recursive(4, 32, 4, |inner| {
        let presence = prop_oneof![
            4 => Just(Presence::BySchema),
            1 => Just(Presence::Required),
            1 => Just(Presence::Optional),
            1 => value().prop_map(Presence::Default),
        ];
        let field = (inner.clone(), presence).prop_map(|(schema, presence)| Field {
            schema,
            presence,
            description: None,
        });
        let fields = prop::collection::vec((name(), field), 0..4).prop_map(Fields::new).boxed();
        prop_oneof![
            inner.clone().prop_map(Schema::nullable),
            inner.clone().prop_map(Schema::array),
            inner.clone().prop_map(Schema::map),
            fields.clone().prop_map(Schema::Shape),
            fields.clone().prop_map(Schema::Permissive),
            fields.prop_map(Schema::Selector),
            prop::collection::vec(inner, 1..4).prop_map(Schema::Union),
        ]
    })
}

/// Fields whose defaults their schemas accept: what [`Schema::parse`] lets through.
fn sound(schema: &Schema) -> bool {
    match schema {
        Schema::Any | Schema::Scalar(_) => true,
        Schema::Nullable(inner) | Schema::Array(inner) => sound(inner),
        Schema::Map(map) => sound(&map.value),
        Schema::Shape(fields) | Schema::Permissive(fields) | Schema::Selector(fields) => {
            fields.iter().all(|(_, field)| {
                let default = match &field.presence {
                    Presence::Default(value) => field.schema.errors(value).is_empty(),
                    Presence::BySchema | Presence::Required | Presence::Optional => true,
                };
                default && sound(&field.schema)
            })
        }
        Schema::Union(members) => members.iter().all(sound),
    }
}

fn has(errors: &[ConfigError], code: &str) -> bool {
    errors.iter().any(|error| error.kind.code() == code)
}

fn cases() -> ProptestConfig {
    ProptestConfig::with_cases(if option_env!("SLOW").is_some() { 20_000 } else { 600 })
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn a_scaffold_misses_nothing(schema in schema().prop_filter("sound", sound)) {
        let errors = schema.errors(&schema.scaffold());
        prop_assert!(!has(&errors, "missing-field"), "{errors:?}");
    }

    #[test]
    fn what_was_scaffolded_misses_nothing(schema in schema().prop_filter("sound", sound), value in value()) {
        let done = schema.scaffold_missing(&value);
        let errors = schema.errors(&done.value);
        prop_assert!(!has(&errors, "missing-field"), "{errors:?}");
        prop_assert!(value.is_null() || done.added.is_empty() == (done.value == value));
    }

    #[test]
    fn what_was_pruned_has_nothing_undefined(schema in schema().prop_filter("sound", sound), value in value()) {
        let done = schema.prune(&value);
        let errors = schema.errors(&done.value);
        prop_assert!(!has(&errors, "undefined-field"), "{errors:?}");
        prop_assert_eq!(done.removed.is_empty(), done.value == value);
    }

    #[test]
    fn a_completed_value_is_complete(schema in schema(), value in value()) {
        if let Ok(config) = schema.validate(&value, Env::Keep) {
            let again = schema.validate(&config.value, Env::Keep);
            prop_assert_eq!(again, Ok(config));
        }
    }

    #[test]
    fn json_schema_accepts_what_is_accepted(schema in schema(), value in value()) {
        if schema.errors(&value).is_empty() {
            let exported = schema.json_schema();
            let validator = jsonschema::validator_for(&exported).unwrap();
            prop_assert!(validator.is_valid(&value), "{exported} {value}");
        }
    }

    #[test]
    fn a_layer_over_itself_changes_nothing(schema in schema(), a in value(), b in value()) {
        prop_assert_eq!(schema.merge(&Value::Null, &b), b);
        prop_assert_eq!(schema.merge(&a, &a), a);
    }

    #[test]
    fn no_declaration_panics(declared in declaration()) {
        match Schema::parse(&declared) {
            Ok(schema) => prop_assert!(sound(&schema)),
            Err(errors) => prop_assert!(!errors.0.is_empty() && !errors.to_string().is_empty()),
        }
    }

    #[test]
    fn messages_are_one_line_each(schema in schema(), value in value()) {
        for error in schema.errors(&value) {
            prop_assert!(!error.to_string().contains('\n'), "{error}");
        }
    }
}

/// Junk that is often nearly a declaration.
fn declaration() -> impl Strategy<Value = Value> {
    let word =
        prop::sample::select(vec!["int", "float", "string?", "any", "bool", "flot", "?", ""]);
    let leaf = prop_oneof![3 => word.prop_map(Value::from), 1 => scalar()];
    leaf.prop_recursive(4, 32, 4, |inner| {
        let key = prop::sample::select(vec![
            "type",
            "enum",
            "array",
            "map",
            "nullable",
            "selector",
            "permissive",
            "shape",
            "union",
            "default",
            "optional",
            "description",
            "min",
            "max",
            "secret",
            "key",
            "a",
            "b",
        ]);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::Array),
            prop::collection::vec((key.prop_map(str::to_owned), inner), 0..4)
                .prop_map(|entries| Value::Object(entries.into_iter().collect::<Map<_, _>>())),
        ]
    })
}
